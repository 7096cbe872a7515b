"""What proof of storage costs who keeps a replica, who judges it, and who would rather make it again than keep it.

Sealing is measured on a short piece: its speed does not depend on how long the chain is. Proofs are of replicas of
1 MB to 2 GB whose chunks are made from their number (any bytes are the seal of something); every node of their trees
is real. The chunks that a proof needs are in memory before it is timed: what a disk adds is the disk's.

The cheat keeps the plain data and one sealed block in 4096 (one a chunk, 0.024 %), and goes from there to the sectors
that are asked for. It is given all of its data in memory, too.

All times are of the processor, not of the clock: one core does one thing here, whoever else is about.
"""

import os
from collections.abc import Callable, Mapping
from statistics import median
from time import process_time
from typing import Final

from blake3 import blake3

from benchmarks.child import Results, Value
from benchmarks.machine import pinned_cores
from consensus.primitives.digest import CHUNK_BYTES, leaf_digest, sha256
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, PublicKey
from consensus.storage.challenge import draw_sectors
from consensus.storage.multiproof import verify_multiproof
from consensus.storage.permutation import seal_blocks
from consensus.storage.seal import NO_BLOCK, Seal, check_opening
from consensus.storage.sectors import GROUP_SECTORS, SECTOR_BYTES, group_root, replica_size, sector_count
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import unseal_at

ASKED: Final = 16
CHALLENGES: Final = 20
SIZES: Final = {"1_mb": 10**6, "10_mb": 10**7, "100_mb": 10**8, "2_gb": 2 * 10**9}
QUICK_SIZES: Final = {"1_mb": 10**6, "10_mb": 10**7}
LARGE: Final = replica_size(2 * 10**9)
KEPT_EVERY: Final = 4096
DEAL: Final = sha256("bench/deal")
PROVIDER: Final = PublicKey(sha256("bench/provider"))


def measure(arguments: Mapping[str, Value]) -> Results:
    """Rates in MB/s (10^6 bytes), times in ms, proofs in bytes; the largest replica gives the figures."""
    os.sched_setaffinity(0, pinned_cores(1))
    sizes = QUICK_SIZES if arguments["quick"] else SIZES
    results: Results = {}
    for name, size in sizes.items():
        made, checked, length = _challenge_costs(replica_size(size))
        results |= {
            f"storage_prove_ms.{name}": made,
            f"storage_verify_ms.{name}": checked,
            f"storage_proof_bytes.{name}": length,
        }
    largest = list(sizes)[-1]
    for figure in ("storage_prove_ms", "storage_verify_ms", "storage_proof_bytes"):
        results[figure] = results[f"{figure}.{largest}"]
    return results | _seal_costs(512 if arguments["quick"] else 8192)


def _seal_costs(blocks: int) -> Results:
    """The slow direction and the fast one, an opening of one pass and of 32, and the cheat."""
    seal = Seal.for_piece(DEAL, 0, PROVIDER, size=LARGE, floor_bytes=0)
    piece = os.urandom(64 * blocks)
    root_s = _cpu_s(lambda: seal_blocks(piece, NO_BLOCK, seal.key), 3) / blocks
    unseal_s = _cpu_s(lambda: unseal_at(seal, 5, make_chunk), 9) - _cpu_s(lambda: make_chunk(5), 9)
    seal_mb_s, unseal_mb_s = 64 / root_s / 1e6, CHUNK_BYTES / unseal_s / 1e6
    return {
        "seal_mb_s": seal_mb_s,
        "seal_mb_s.floor_32_mib_s": 2**25 / seal_mb_s / 1e6,
        "unseal_mb_s": unseal_mb_s,
        "seal_asymmetry": unseal_mb_s / seal_mb_s,
        "storage_cheat_cpu_s": ASKED * (KEPT_EVERY / 2 + SECTOR_BYTES / 64) * root_s,
        **_opening_costs(1),
        **_opening_costs(32),
    }


def _opening_costs(passes: int) -> Results:
    size = 4 * CHUNK_BYTES
    seal = Seal(size=size, passes=passes, key=bytes(64))
    tree = ReplicaTree(size, [group_root(make_chunk(index)) for index in range(4)])
    opening, root, leaf = tree.open(seal, 2, make_chunk), tree.root, leaf_digest(unseal_at(seal, 2, make_chunk))
    check_s = _cpu_s(lambda: check_opening(opening, seal, root, 2, leaf), 5)
    return {
        f"opening_check_ms.passes_{passes}": 1000 * check_s,
        f"opening_bytes.passes_{passes}": len(encode(opening)),
    } | ({"opening_check_ms": 1000 * check_s} if passes == 1 else {})


def _challenge_costs(size: int) -> tuple[float, float, int]:
    """Medians over challenges: ms of one core to prove, ms to verify, bytes of sectors and siblings."""
    groups = [group_root(_chunk_of(size, index)) for index in range(-(-size // CHUNK_BYTES))]
    tree = ReplicaTree(size, groups)
    root, sectors = tree.root, sector_count(size)
    made, checked, lengths = [], [], []
    for number in range(CHALLENGES):
        drawn = draw_sectors(_beacon(number), DEAL, 0, PROVIDER, sectors, ASKED)
        chunks = {index // GROUP_SECTORS: _chunk_of(size, index // GROUP_SECTORS) for index in drawn}
        started = process_time()
        shown, siblings = tree.prove(drawn, chunks.__getitem__)
        proved = process_time()
        holds = verify_multiproof(root, size, drawn, shown, siblings)
        checked.append(1000 * (process_time() - proved))
        made.append(1000 * (proved - started))
        lengths.append(sum(map(len, shown)) + sum(map(len, siblings)))
        assert holds
    return median(made), median(checked), round(median(lengths))


def _cpu_s(work: Callable[[], object], repetitions: int) -> float:
    """The median processor time of one call, after one that is not counted."""
    work()
    times = []
    for _ in range(repetitions):
        started = process_time()
        work()
        times.append(process_time() - started)
    return median(times)


def _beacon(number: int) -> Digest:
    return sha256("bench/beacon", number.to_bytes(8, "big"))


def _chunk_of(size: int, index: int) -> bytes:
    return make_chunk(index)[: size - index * CHUNK_BYTES]


def make_chunk(index: int) -> bytes:
    """The bytes of a chunk, from its number alone."""
    return blake3(index.to_bytes(8, "big"), derive_key_context="pouw bench chunk").digest(length=CHUNK_BYTES)
