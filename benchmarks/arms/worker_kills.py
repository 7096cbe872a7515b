"""Kills the workers of a training that knows nothing of this, on a schedule, and watches its progress."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.fault_schedule import choose, parse_blows
from benchmarks.progress import Progress

_POLL_S: Final = 0.1


def kill_on_schedule(
    arguments: Mapping[str, Value],
    *,
    examples: Callable[[], int],
    pids: Callable[[], Sequence[int]],
) -> Results:
    """`window_s`, `seed`, `blows`. `examples` that count by now, `pids` of living workers."""
    blows, seed = parse_blows(str(arguments["blows"])), int(str(arguments["seed"]))
    waiting, dealt, progress = list(enumerate(blows)), list[str](), Progress()

    def look(now_s: float) -> int:
        if waiting and waiting[0][1].at_s <= now_s and (alive := pids()):
            number, blow = waiting.pop(0)
            os.kill(alive[choose(seed, number, len(alive))], signal.SIGKILL)
            dealt.append(f"{now_s:.1f} s {blow.role} {blow.number.name}")
        return examples()

    progress.run(float(str(arguments["window_s"])), look, _POLL_S)
    return {"samples_per_s": progress.per_s(), "longest_s": progress.longest_s(), "blows": list(dealt)}
