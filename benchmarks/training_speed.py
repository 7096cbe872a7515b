"""Training speed with everything on, against Ray Train and against the limit of the machine.

Compared: examples a second of a 5 million parameter GPT (6 layers, 8 heads, width 256, context 128), 2 workers, 4
sequences a worker and step, about 0.3 s a step.

 - ours, H = 1: gradients merged after every step, so training is exactly large-batch AdamW, as with DDP
 - ours, H = 8: merged after every eighth step (DiLoCo), DDP still after every step, as DDP has to
 - Ray Train: TorchTrainer, DDP over gloo (`arms.ray_train`)
 - limit: forward and backward only (`arms.limit`)

Fair because: one run on one machine; every side alone on the same two cores (with all that belongs to it: our
verifier, chain and gateway as well as Ray's own processes); the same network code, batch, thread count, kernels and
AdamW; warm-up left out; the sides take turns, forwards and backwards, and what counts is the median over the
repetitions of the ratio within one. Our side digests, signs, keeps its chain and replays 5 % of the slots inside its
two cores; the others do none of it, neither side evaluates or writes checkpoints.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.child import Results, Value, call
from benchmarks.machine import pinned_cores
from benchmarks.repetition import alternate, median_ratio

_WORKERS: Final = 2
_ARM_TIMEOUT_S: Final = 300.0
_STORE_WARM_S: Final = 40.0
"""About 150 rounds pass before the object store has touched all the memory it goes on with; each first touch of a page
costs as much as twenty later ones. With eight steps a round that is lost in the rounds' length."""
_WINDOW_S: Final = 60.0
"""How many slots are drawn for an audit is luck: over 30 s the verifier took from 5 to 12 % of a core."""
_RAY: Final = "ray_train"
_LIMIT: Final = "limit"
_H1: Final = "ours_h1"
_H8: Final = "ours_h8"
_RATIOS: Final[Mapping[str, tuple[str, str]]] = {
    "train_h1_vs_ray_train": (_H1, _RAY),
    "train_h8_vs_ray_train": (_H8, _RAY),
    "limit_share_h1": (_H1, _LIMIT),
    "limit_share_h8": (_H8, _LIMIT),
}
_MODULES: Final[Mapping[str, tuple[str, Mapping[str, Value]]]] = {
    _H1: ("benchmarks.arms.site", {"local_steps": 1}),
    _H8: ("benchmarks.arms.site", {"local_steps": 8}),
    _RAY: ("benchmarks.arms.ray_train", {}),
    _LIMIT: ("benchmarks.arms.limit", {}),
}


def measure(arguments: Mapping[str, Value]) -> Results:
    """Ratios, and the examples a second they come from."""
    wanted = arguments["wanted"]
    assert isinstance(wanted, list)
    quick = bool(arguments["quick"])
    times: Results = {"warm_s": 2.0, "window_s": 6.0} if quick else {"warm_s": 10.0, "window_s": _WINDOW_S}
    arms = [arm for arm in _MODULES if any(arm in _RATIOS[name] for name in wanted)]

    def run(arm: str) -> Results:
        module, own = _MODULES[arm]
        given = {"workers": _WORKERS, **times, **own}
        if arm == _H1 and not quick:
            given["warm_s"] = _STORE_WARM_S
        found = call(module, given, timeout_s=_ARM_TIMEOUT_S, cores=pinned_cores(_WORKERS))
        print(f"  {arm}: {found}", flush=True)
        return found

    measured = alternate(arms, 1 if quick else 2, run)
    speeds = {arm: [float(str(found["samples_per_s"])) for found in runs] for arm, runs in measured.items()}
    return _results(wanted, speeds, measured)


def _results(
    wanted: Sequence[str], speeds: Mapping[str, list[float]], measured: Mapping[str, list[Results]]
) -> Results:
    results: Results = {}
    for name in wanted:
        over, under = _RATIOS[name]
        results[name] = median_ratio(speeds[over], speeds[under])
        for arm in (over, under):
            results[f"{name}.{arm}_samples_per_s"] = [f"{speed:.2f}" for speed in speeds[arm]]
        for key in ("rounds", "blocks", "audits", "rounds_settled"):
            results[f"{name}.{over}_{key}"] = [str(found[key]) for found in measured[over]]
    return results
