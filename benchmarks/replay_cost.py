"""What it costs to accept mined blocks: the replay of their winning slots, over the training they stand for.

Measured in two parts, multiplied:

 - count: a real site trains a small network (8 local steps a slot, two miners) with a block interval of one second,
   so short that the difficulty stays near the easiest target the chain allows, where a block stands for the least
   work. From its chain: slots replayed to accept blocks (one for each mined block) over slots that were trained.
 - time: what `VerifierNode.replay` takes for a slot over what `MinerNode.run_slot` takes for it, in one process, in
   turn: the replay hashes the state and draws the batches again to compare them.

The expected share by the rules alone is one in fifty slots of eight steps with four tries each. The audits that a
job asks for come on top of that and are a choice of its client; they are counted beside it.
"""

import time
from collections.abc import Mapping
from statistics import median
from time import perf_counter

from benchmarks.child import Results, Value
from benchmarks.local_job import LocalJob
from benchmarks.stored_run import StoredRun, read_run
from benchmarks.temporary_site import running_site, temporary_home
from benchmarks.workloads import Workload, digits_job, small_gpt_job
from cluster.settings import SiteSettings
from consensus.crypto.signing import decode_signed
from consensus.primitives.encoding import decode
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome

_LOCAL_STEPS = 8
_INTERVAL_S = 1.0


def measure(arguments: Mapping[str, Value]) -> Results:
    """The share, and what it is made of."""
    quick = bool(arguments["quick"])
    run = _train(run_s=5.0 if quick else 60.0)
    ratio = _replay_time_ratio(repetitions=3 if quick else 15)
    return {
        "replay_cost_share": run.mined_blocks / run.slots * ratio,
        "replay_cost_share.blocks": run.mined_blocks,
        "replay_cost_share.slots": run.slots,
        "replay_cost_share.audited_slots": run.audited,
        "replay_cost_share.time_ratio": ratio,
    }


def _train(run_s: float) -> StoredRun:
    settings = SiteSettings(miners=2, port=0, block_interval_s=_INTERVAL_S)
    with temporary_home() as home:
        with running_site(home, settings) as site:
            job = site.submit(digits_job(_LOCAL_STEPS))
            site.wait_for(job, lambda view: view.round >= 1)
            time.sleep(run_s)
        return read_run(home)


def _replay_time_ratio(repetitions: int) -> float:
    job = LocalJob.of(Workload.of(small_gpt_job(_LOCAL_STEPS)))
    miner, verifier, state = job.miner(), job.verifier(), job.start_state()
    state.flags.writeable = False
    digest, ratios = job.digest_of(state), []
    for number in range(repetitions + 1):
        message = job.assignment(miner.public_key, digest, number)
        started = perf_counter()
        reply, _ = miner.run_slot(message, state)
        trained_s = perf_counter() - started
        report = decode(decode_signed(reply.report).body, SlotReport)
        started = perf_counter()
        verdict = verifier.replay(report, state)
        ratios.append((perf_counter() - started) / trained_s)
        assert verdict.outcome is Outcome.MATCH, verdict
    return median(ratios[1:])
