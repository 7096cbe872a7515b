"""Training speed with everything on, against Ray Train and against the limit of the machine.

Compared: examples a second of a 5 million parameter GPT (6 layers, 8 heads, width 256, context 128), 2 workers, 4
sequences a worker and step, about 0.3 s a step.

 - ours, H = 1: gradients merged after every step, so training is exactly large-batch AdamW, as with DDP
 - ours, H = 8: merged after every eighth step (DiLoCo), DDP still after every step, as DDP has to
 - Ray Train: TorchTrainer, DDP over gloo (`arms.ray_train`)
 - limit: forward and backward only (`arms.limit`)

Twice: with the kernels of the default replay class (AVX2) on both sides, which tells what all that this project does
besides training costs; and, where the processor has AVX-512, our class `avx512` against Ray Train with every kernel
that the machine has (class `native`: nothing is set), which is what its user gets.

Fair because: one run on one machine; every side alone on the same two cores (with all that belongs to it: our
verifier, chain and gateway as well as Ray's own processes); the same network code, batch, thread count and AdamW;
warm-up left out; the sides take turns, forwards and backwards, and what counts is the median over the repetitions of
the ratio within one. Our side digests, signs, keeps its chain and replays 5 % of the slots inside its two cores; the
others do none of it, neither side evaluates or writes checkpoints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.child import Results, Value, call
from benchmarks.machine import pinned_cores
from benchmarks.repetition import alternate, median_ratio
from cluster.launch.processor import can_run
from jobs.determinism import AVX512, NATIVE, PORTABLE

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
_RAY_NATIVE: Final = "ray_train_native"
_H1_AVX512: Final = "ours_h1_avx512"
_H8_AVX512: Final = "ours_h8_avx512"
_RATIOS: Final[Mapping[str, tuple[str, str]]] = {
    "train_h1_vs_ray_train": (_H1, _RAY),
    "train_h8_vs_ray_train": (_H8, _RAY),
    "limit_share_h1": (_H1, _LIMIT),
    "limit_share_h8": (_H8, _LIMIT),
    "train_h1_avx512_vs_ray_train": (_H1_AVX512, _RAY_NATIVE),
    "train_h8_avx512_vs_ray_train": (_H8_AVX512, _RAY_NATIVE),
}


@dataclass(frozen=True, slots=True)
class _Arm:
    """A side: its module, the replay class of its process, the steps of a slot if it is ours."""

    module: str
    replay_class: str = PORTABLE
    local_steps: int = 0


_ARMS: Final[Mapping[str, _Arm]] = {
    _H1: _Arm("benchmarks.arms.site", local_steps=1),
    _H8: _Arm("benchmarks.arms.site", local_steps=8),
    _RAY: _Arm("benchmarks.arms.ray_train"),
    _LIMIT: _Arm("benchmarks.arms.limit"),
    _H1_AVX512: _Arm("benchmarks.arms.site", AVX512, local_steps=1),
    _H8_AVX512: _Arm("benchmarks.arms.site", AVX512, local_steps=8),
    _RAY_NATIVE: _Arm("benchmarks.arms.ray_train", NATIVE),
}


def measure(arguments: Mapping[str, Value]) -> Results:
    """Ratios, and the examples a second they come from; nothing of AVX-512 where the processor has none."""
    asked = arguments["wanted"]
    assert isinstance(asked, list)
    wanted = [name for name in asked if can_run(AVX512) or _ARMS[_RATIOS[name][0]].replay_class != AVX512]
    quick = bool(arguments["quick"])
    times: Results = {"warm_s": 2.0, "window_s": 6.0} if quick else {"warm_s": 10.0, "window_s": _WINDOW_S}
    arms = [arm for arm in _ARMS if any(arm in _RATIOS[name] for name in wanted)]

    def run(arm: str) -> Results:
        side = _ARMS[arm]
        given = {"workers": _WORKERS, **times, "local_steps": side.local_steps}
        if side.local_steps == 1 and not quick:
            given["warm_s"] = _STORE_WARM_S
        cores = pinned_cores(_WORKERS)
        found = call(side.module, given, timeout_s=_ARM_TIMEOUT_S, cores=cores, replay_class=side.replay_class)
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
