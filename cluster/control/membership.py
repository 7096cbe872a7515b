"""How many miners there should be, and which ones to start or drain to get there."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class MinerState(StrEnum):
    """Where a miner is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    WORKING = "working"
    SILENT = "silent"
    DRAINING = "draining"
    LOST = "lost"
    EXCLUDED = "excluded"


_PREFIX = "miner-"
_COUNTED = (MinerState.STARTING, MinerState.IDLE, MinerState.WORKING, MinerState.SILENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipPlan:
    """Names of miners to start and to drain."""

    start: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()


def plan_membership(miners: Mapping[str, MinerState], desired: int) -> MembershipPlan:
    """What brings the miners in `miners` (name -> state) to `desired`.

    New miners take the lowest free names, so a name that was lost is taken up again with its key and its credits. The
    highest names drain first; a draining miner is not called back, it finishes and a new one starts.
    """
    counted = sorted((name for name, state in miners.items() if state in _COUNTED), key=_number)
    if len(counted) >= desired:
        return MembershipPlan(drain=tuple(counted[desired:]))
    taken = {name for name, state in miners.items() if state is not MinerState.LOST}
    free = (name for name in (miner_name(i) for i in range(desired + len(miners) + 1)) if name not in taken)
    return MembershipPlan(start=tuple(name for name, _ in zip(free, range(desired - len(counted)), strict=False)))


def miner_name(number: int) -> str:
    """The name of miner `number`."""
    return f"{_PREFIX}{number}"


def is_miner_name(name: str) -> bool:
    """Whether an actor's name is that of a miner."""
    return name.startswith(_PREFIX) and name.removeprefix(_PREFIX).isdecimal()


def _number(name: str) -> int:
    return int(name.rsplit("-", 1)[1])
