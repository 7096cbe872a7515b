"""Every figure with its budget, and the module that measures it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Side = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number. `module` may measure several figures in one run."""

    name: str
    module: str
    meaning: str
    budget: float
    side: Side

    def is_met(self, value: float) -> bool:
        """Whether a value keeps the budget."""
        return value >= self.budget if self.side == "at least" else value <= self.budget


def _at_least(budget: float, name: str, module: str, meaning: str) -> Figure:
    return Figure(name=name, module=f"benchmarks.{module}", meaning=meaning, budget=budget, side="at least")


def _at_most(budget: float, name: str, module: str, meaning: str) -> Figure:
    return Figure(name=name, module=f"benchmarks.{module}", meaning=meaning, budget=budget, side="at most")


FIGURES: Final = (
    _at_least(1.0, "train_h1_vs_ray_train", "training_speed", "samples/s, merging every step, over Ray Train DDP"),
    _at_least(1.12, "train_h8_vs_ray_train", "training_speed", "samples/s, merging every 8 steps, over Ray Train DDP"),
    _at_least(1.0, "train_h1_avx512_vs_ray_train", "training_speed", "the same in avx512, Ray Train with all kernels"),
    _at_least(1.12, "train_h8_avx512_vs_ray_train", "training_speed", "the same in avx512, Ray Train with all kernels"),
    _at_least(0.0, "limit_share_h1", "training_speed", "share of the forward+backward limit, merging every step"),
    _at_least(0.95, "limit_share_h8", "training_speed", "share of the forward+backward limit, merging every 8 steps"),
    _at_least(1.0, "digest_gb_s", "digest_speed", "bulk digest of 256 MB on one core, GB/s"),
    _at_least(0.6, "artifact_put_share", "storage_speed", "putting an artifact over copying its file, both durable"),
    _at_least(0.5, "artifact_get_share", "storage_speed", "reading an artifact, checked, over only hashing it"),
    _at_most(1.05, "artifact_file_share", "storage_speed", "size of the artifacts' file on disk over the data"),
    _at_most(1.1, "replica_file_share", "storage_speed", "the same of a replica that was overwritten 3 times"),
    _at_most(64.0, "artifact_stream_mib", "storage_speed", "memory while 2 GB stream through put and get, MiB"),
    _at_least(0.3, "erasure_encode_gb_s", "storage_speed", "making 4 of 6 shards, GB/s"),
    _at_least(0.3, "erasure_decode_gb_s", "storage_speed", "the artifact from 2 data and 2 parity shards, GB/s"),
    _at_most(4.0, "repair_read_shards", "storage_speed", "bytes read to make a lost shard of 4 of 6, in shards"),
    _at_most(0.02, "replay_cost_share", "replay_cost", "replay for accepted blocks over the training they stand for"),
    _at_most(0.25, "miner_extra_bytes_share", "miner_memory", "a miner's memory beyond plain training's, in states"),
    _at_most(300.0, "status_ms", "command_time", "pouw status with the site up, wall time"),
    _at_most(300.0, "help_ms", "command_time", "pouw --help, wall time"),
    _at_least(2000.0, "verify_blocks_s", "chain_speed", "blocks/s of a whole chain checked from LMDB, no replay"),
    _at_least(0.5, "seal_mb_s", "storage_proofs", "sealing a replica on one core, MB/s"),
    _at_least(50.0, "unseal_mb_s", "storage_proofs", "unsealing it, one pass, MB/s"),
    _at_least(50.0, "seal_asymmetry", "storage_proofs", "unsealing over sealing"),
    _at_most(50.0, "storage_prove_ms", "storage_proofs", "proof of 16 sectors of a 2 GB replica, chunks in memory"),
    _at_most(5.0, "storage_verify_ms", "storage_proofs", "checking that proof"),
    _at_most(32768.0, "storage_proof_bytes", "storage_proofs", "bytes of that proof, 16 KiB of them sectors"),
    _at_most(50.0, "opening_check_ms", "storage_proofs", "opening one chunk of a fresh replica, one pass"),
    _at_least(
        1.0, "storage_cheat_cpu_s", "storage_proofs", "CPU a challenge costs who keeps a 4096th, not the replica"
    ),
    _at_most(2.0, "coordinator_ms_per_slot", "coordinator_time", "coordinator's own time, worst of 1 to 256 miners"),
    _at_most(
        64.0, "coordinator_kib_per_miner", "coordinator_memory", "coordinator's memory for each further miner, KiB"
    ),
    _at_most(
        16.0, "coordinator_bytes_per_round", "coordinator_memory", "what a finished round leaves behind in it, bytes"
    ),
    _at_least(1.0, "many_miners_same_digest", "many_miners", "1: 80 miners come to the same weights as 2"),
    _at_most(5.0, "many_miners_start_s", "many_miners", "starting 78 miners on this machine, seconds a miner"),
    _at_most(220.0, "many_miners_mib", "many_miners", "private memory of a miner with a tiny job, MiB"),
    _at_most(2.0, "many_miners_slowdown", "many_miners", "time of a round with 80 miners over that with 2, same cores"),
    _at_most(6.0, "join_s", "join_time", "start of a new miner's process to its first slot, job running"),
    _at_most(20.0, "scale_up_s", "join_time", "from 2 miners to 8 on two cores, until each has run a slot"),
    _at_least(1.0, "hosts_same_digest", "separate_hosts", "1: same weights with a host cut off, and on slow links"),
    _at_most(5.0, "hosts_cut_stall_s", "separate_hosts", "standstill when one host of four is cut off"),
    _at_least(0.5, "hosts_slow_link_share", "separate_hosts", "rounds/s on links of 100 Mbit/s over unlimited ones"),
    _at_least(1.0, "faults_same_digest", "fault_table", "1: same weights after every fault of the table"),
    _at_most(5.0, "miner_kill_stall_s", "fault_table", "standstill after kill -9 of a miner"),
    _at_most(5.0, "frozen_miner_stall_s", "fault_table", "standstill after SIGSTOP of a miner"),
    _at_most(5.0, "node_loss_stall_s", "fault_table", "standstill after kill -9 of all processes of a node"),
    _at_most(10.0, "coordinator_kill_stall_s", "fault_table", "standstill after kill -9 of the coordinator"),
    _at_most(1.0, "miner_kill_lost_slots", "miner_kill", "slots run again after kill -9 of a miner, per kill"),
    _at_least(0.95, "chaos_throughput_kept", "chaos", "examples/s with a random fault every 20 s over undisturbed"),
    _at_least(1.0, "chaos_same_digest", "chaos", "1: every round came to the same state in spite of the faults"),
    _at_least(0.95, "chaos_kills_kept", "chaos", "examples/s with a miner killed every 20 s over undisturbed"),
    _at_least(0.0, "chaos_ray_train_kept", "chaos", "the same of Ray Train elastic"),
    _at_least(0.0, "chaos_torchft_kept", "chaos", "the same of torchft, where TORCHFT_PYTHON has it"),
)


def modules_of(names: Iterable[str]) -> dict[str, list[str]]:
    """The wanted figures by module, in the suite's order."""
    wanted = set(names)
    modules: dict[str, list[str]] = {}
    for figure in FIGURES:
        if figure.name in wanted:
            modules.setdefault(figure.module, []).append(figure.name)
    return modules
