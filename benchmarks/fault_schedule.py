"""When which role gets which signal: drawn from a seed, so that every side of a comparison meets the same faults."""

import hashlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SHARE_BITS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One fault: a process of `role` gets `number`, `at_s` after the beginning."""

    at_s: float
    role: str
    number: signal.Signals

    def __str__(self) -> str:
        return f"{self.at_s:.1f} s {self.role} {self.number.name}"


EVERY_ROLE: Final = (
    ("miner", signal.SIGKILL),
    ("miner", signal.SIGSTOP),
    ("coordinator", signal.SIGKILL),
    ("verifier", signal.SIGKILL),
    ("supervisor", signal.SIGKILL),
    ("gateway", signal.SIGKILL),
)
MINER_KILLS: Final = (("miner", signal.SIGKILL),)


def draw_schedule(
    seed: int, length_s: float, every_s: float, kinds: Sequence[tuple[str, signal.Signals]]
) -> tuple[Blow, ...]:
    """One blow in each whole `every_s`, at a random moment of its first half, of a random kind."""
    return tuple(
        Blow(at_s=every_s * (number + _share(seed, number, "moment") / 2), role=role, number=sent)
        for number in range(int(length_s // every_s))
        for role, sent in [kinds[int(_share(seed, number, "kind") * len(kinds))]]
    )


def write_blows(blows: Sequence[Blow]) -> str:
    """One line of text; `parse_blows` reads it."""
    return "; ".join(str(blow) for blow in blows)


def parse_blows(text: str) -> list[Blow]:
    """Reads what `write_blows` wrote. Moments are in tenths of a second then."""
    words = (blow.split() for blow in text.split(";") if blow.strip())
    return [Blow(at_s=float(at_s), role=role, number=signal.Signals[name]) for at_s, _, role, name in words]


def choose(seed: int, number: int, count: int) -> int:
    """Which of `count` processes the blow with this number hits."""
    return int(_share(seed, number, "which") * count)


def _share(seed: int, number: int, what: str) -> float:
    """A number from 0 to 1, 1 excluded."""
    digest = hashlib.sha256(f"fault {seed} {number} {what}".encode()).digest()
    return float(int.from_bytes(digest[:4], "big") / (1 << _SHARE_BITS))
