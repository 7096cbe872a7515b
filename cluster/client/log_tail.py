"""New log lines as they come. The gateway hands out the last lines; what was shown before is found again in them."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cluster.views import LogLine

POLL_S: Final = 1.0
_WINDOW: Final = 1_000
_REMEMBERED: Final = 50


def follow_logs(
    load: Callable[[int], Sequence[LogLine]],
    tail: int,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LogLine]:
    """The last `tail` lines, then new ones without end. `load` gives so many of the last lines.

    Raises:
        UnreachableError: the site went away.
    """
    lines = load(max(tail, _REMEMBERED))
    yield from lines[max(len(lines) - tail, 0) :]
    while True:
        sleep(POLL_S)
        window = load(_WINDOW)
        yield from new_lines(lines, window)
        lines = window


def new_lines(seen: Sequence[LogLine], window: Sequence[LogLine]) -> Sequence[LogLine]:
    """What of `window` comes after the lines that were `seen`: all of it if none of them are in it any more."""
    last = tuple(seen[-_REMEMBERED:])
    for end in range(len(window), 0, -1):
        overlap = min(len(last), end)
        if overlap and tuple(window[end - overlap : end]) == last[-overlap:]:
            return window[end:]
    return window
