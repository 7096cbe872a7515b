"""Progress that is looked at now and then: how fast it was, and how long it stood still."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

_MOST_S = 240.0


@dataclass(slots=True)
class Progress:
    """Growing numbers with the time at which each was first seen. A number that falls back counts when it is passed."""

    seen: list[tuple[int, float]] = field(default_factory=list)

    def note(self, value: int) -> bool:
        """Note what was seen now; returns whether it is more than ever."""
        if self.seen and value <= self.seen[-1][0]:
            return False
        self.seen.append((value, time.monotonic()))
        return True

    def run(self, window_s: float, look: Callable[[float], int | None], poll_s: float) -> None:
        """Look for so long, from one growth to the first growth after the window: whole units in a whole time.

        `look` is given the seconds since the beginning (below 0 before it) and returns a number; None: it has none.
        Raises TimeoutError if nothing grows any more.
        """
        self._await_growth(look, poll_s)
        self._await_growth(look, poll_s)
        del self.seen[:-1]
        started = self.seen[0][1]
        while (now_s := time.monotonic() - started) < window_s:
            self._look(look, now_s)
            time.sleep(poll_s)
        self._await_growth(look, poll_s, after_s=window_s)

    def per_s(self) -> float:
        """Units a second from the first to the last sight."""
        (first, began), (last, ended) = self.seen[0], self.seen[-1]
        return (last - first) / (ended - began)

    def per_s_between(self, began_s: float, ended_s: float) -> float:
        """Units a second in a part of the window, from the last sight before it to the last one in it."""
        started = self.seen[0][1]
        before = [(value, at_s) for value, at_s in self.seen if at_s - started <= began_s]
        within = [(value, at_s) for value, at_s in self.seen if at_s - started <= ended_s]
        return (within[-1][0] - before[-1][0]) / (ended_s - began_s)

    def longest_s(self) -> float:
        """The longest time without growth."""
        return max(after[1] - before[1] for before, after in pairwise(self.seen))

    def _await_growth(self, look: Callable[[float], int | None], poll_s: float, after_s: float = -1.0) -> None:
        deadline = time.monotonic() + _MOST_S
        while not self._look(look, after_s):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no progress for {_MOST_S:g} s: {self.seen[-1:]}")
            time.sleep(poll_s)

    def _look(self, look: Callable[[float], int | None], now_s: float) -> bool:
        value = look(now_s)
        return value is not None and self.note(value)
