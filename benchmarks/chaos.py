"""What random faults cost: a job whose site is beaten every 20 s, against the same job left alone.

Measured one after the other on the same cores, two workers each, the same small GPT (H = 8 here, every step with the
others), warm-up left out:

 - ours, undisturbed, and with one random fault every 20 s (every 15 s in a quick run): kill -9 of a miner, the
   coordinator, the verifier, the supervisor or the gateway, or a miner frozen with SIGSTOP (`fault_schedule`, drawn
   from a seed). `chaos_throughput_kept` is the ratio of the examples a second; `chaos_same_digest` is 1 if every round
   that both runs have on their chains came to the same state
 - ours and Ray Train elastic, each undisturbed and with a kill -9 of a worker every 20 s on one schedule:
   `chaos_kills_kept` and `chaos_ray_train_kept`
 - torchft likewise, if TORCHFT_PYTHON names an interpreter that has it beside this project's torch

Work that is lost and done again does not count on any side: ours counts rounds, the others examples that the present
weights have seen. All sides pay for new processes out of the same two cores: the peers load torch each time (over a
second), ours are forked from a process that has loaded it.
"""

import os
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from benchmarks.arms.shaken_site import AFTER_S
from benchmarks.child import Results, Value, call
from benchmarks.fault_schedule import EVERY_ROLE, MINER_KILLS, Blow, draw_schedule, write_blows
from benchmarks.machine import pinned_cores

_WORKERS: Final = 2
_SEED: Final = 3
_SETUP_S: Final = 600.0
_OURS: Final = "benchmarks.arms.shaken_site"
_RAY: Final = "benchmarks.arms.elastic_ray_train"
_TORCHFT: Final = "benchmarks.arms.torchft_replicas"


def measure(arguments: Mapping[str, Value]) -> Results:
    """Shares of throughput, and whether the weights are the same."""
    wanted = arguments["wanted"]
    assert isinstance(wanted, list)
    length_s, kills_s, every_s = (60.0, 60.0, 15.0) if arguments["quick"] else (600.0, 180.0, 20.0)
    every = draw_schedule(_SEED, length_s, every_s, EVERY_ROLE)
    kills = draw_schedule(_SEED, kills_s, every_s, MINER_KILLS)
    results: Results = {}
    if {"chaos_throughput_kept", "chaos_same_digest", "chaos_kills_kept"} & set(wanted):
        alone = _run(_OURS, length_s, ())
        if {"chaos_throughput_kept", "chaos_same_digest"} & set(wanted):
            results |= _compare_sites(alone, _run(_OURS, length_s, every))
        if "chaos_kills_kept" in wanted:
            results |= _kept("chaos_kills_kept", alone, _run(_OURS, kills_s, kills))
    if "chaos_ray_train_kept" in wanted:
        results |= _kept("chaos_ray_train_kept", _run(_RAY, kills_s, ()), _run(_RAY, kills_s, kills))
    if "chaos_torchft_kept" in wanted and os.environ.get("TORCHFT_PYTHON"):
        results |= _kept("chaos_torchft_kept", _run(_TORCHFT, kills_s, ()), _run(_TORCHFT, kills_s, kills))
    return results


def _run(module: str, window_s: float, blows: Sequence[Blow]) -> Results:
    given: Results = {"window_s": window_s, "seed": _SEED, "workers": _WORKERS, "blows": write_blows(blows)}
    found = call(module, given, timeout_s=window_s + _SETUP_S, cores=pinned_cores(_WORKERS))
    shown = {key: value for key, value in found.items() if key not in ("digests", "after")}
    print(f"  {module.rpartition('.')[2]}, {len(blows)} faults: {shown}", flush=True)
    return found


def _compare_sites(alone: Results, shaken: Results) -> Results:
    calm, beaten = alone["digests"], shaken["digests"]
    assert isinstance(calm, list)
    assert isinstance(beaten, list)
    common = min(len(calm), len(beaten))
    return {
        **_kept("chaos_throughput_kept", alone, shaken),
        "chaos_throughput_kept.lost_s": _lost_s(alone, shaken),
        "chaos_same_digest": int(common > 0 and calm[:common] == beaten[:common]),
        "chaos_same_digest.rounds": common,
        "chaos_same_digest.digest": calm[common - 1] if common else "",
    }


def _lost_s(alone: Results, shaken: Results) -> list[str]:
    """Of each kind of fault: how many seconds of undisturbed training one costs."""
    after, usual = shaken["after"], float(str(alone["samples_per_s"]))
    assert isinstance(after, list)
    by_kind: dict[str, list[float]] = {}
    for line in after:
        kind, _, rate = line.rpartition(": ")
        by_kind.setdefault(kind, []).append(AFTER_S * (1 - float(rate) / usual))
    return [f"{kind}: {fmean(lost):.1f} ({len(lost)})" for kind, lost in sorted(by_kind.items())]


def _kept(name: str, alone: Results, shaken: Results) -> Results:
    return {
        name: float(str(shaken["samples_per_s"])) / float(str(alone["samples_per_s"])),
        f"{name}.undisturbed_samples_per_s": alone["samples_per_s"],
        f"{name}.shaken_samples_per_s": shaken["samples_per_s"],
        f"{name}.longest_s": shaken["longest_s"],
        f"{name}.undisturbed_longest_s": alone["longest_s"],
        f"{name}.blows": shaken["blows"],
    }
