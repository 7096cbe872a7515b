"""How many miners the machines of a site have room for, and what to say to somebody who asks for more."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cluster.errors import ConflictError, UsageError

MOST_MINERS: Final = 4096
MOST_ON_A_CORE: Final = 64
"""Miners take turns on a core; with more than this they only wait for each other."""
MINER_BYTES: Final = 250 * 1024 * 1024
"""What a miner with a small model takes, torch included; taken where none runs that could be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One machine that takes miners."""

    address: str
    miners: int
    """Those it has."""
    places: int
    """Most that Ray lets it have."""
    cores: int
    free_bytes: int

    def most(self, miner_bytes: int) -> tuple[int, str]:
        """How many miners fit, those it has included, and what sets the limit."""
        by_cores = min(self.places, self.cores * MOST_ON_A_CORE)
        by_memory = self.miners + self.free_bytes // miner_bytes
        return (by_memory, "memory") if by_memory < by_cores else (max(by_cores, self.miners), "cores")


def check_scale(desired: int, present: int, rooms: Iterable[Room], miner_bytes: int = MINER_BYTES) -> None:
    """Whether a site with `present` miners can have `desired`. Fewer than now are always possible.

    Raises:
        UsageError: not a number of miners.
        ConflictError: the machines have no room for so many; says how many fit where, and why not more.
    """
    check_count(desired)
    if desired <= present:
        return
    limits = [(room.address, *room.most(miner_bytes)) for room in rooms]
    most = sum(count for _, count, _ in limits)
    if desired <= most:
        return
    where = ", ".join(f"{count} on {address} by {cause}" for address, count, cause in limits)
    raise ConflictError(
        f"{desired} miners do not fit: the machines have room for {most}" + (f" ({where})" if where else ""),
        hint="ask for fewer, or add a machine: pouw join on that machine" if most else "add a machine: pouw join",
        code="machines",
    )


def check_count(desired: int) -> None:
    """Raises UsageError: not a number of miners that a site can have."""
    if desired < 1:
        raise UsageError(
            f"a site cannot have {desired} miners: ask for at least 1",
            hint="to end work, cancel the jobs (pouw cancel JOB) or stop the site (pouw down)",
        )
    if desired > MOST_MINERS:
        raise UsageError(f"a site has at most {MOST_MINERS} miners, not {desired}")
