"""Which jobs run, and how many miners each of them gets: by value, with guarantees.

The value of a job is what a miner earns in it by a second of work: the pay of a slot over the seconds it takes.
Miners are shared in proportion to value, between each job's least and most, in whole miners by largest remainder. What
is shared already stays as it is unless sharing anew is clearly closer to the proportion, so that miners do not go to
and fro because a measured second has moved a little.

A queued job is admitted when its minimum fits beside those of the running jobs. The most valuable goes first, but one
that was passed by `PASSES` later ones is passed no more, so no job waits without end. Everything here is derived from
the jobs themselves: a gateway that starts again comes to the same plan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

PASSES: Final = 4
"""So many jobs that came later may start before a queued one; then it is the next."""
HYSTERESIS: Final = Fraction(1, 2)
"""Miners, summed over jobs, by which sharing anew has to be closer to the proportion before any is moved."""
_UNKNOWN_SLOT_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNeed:
    """What a job that has not ended asks for."""

    job: str
    arrival: int
    """Its place in the order in which jobs came."""
    least: int = 1
    most: int = 64
    value: int = 0
    """Millionths of a credit that a miner earns in it by a second of work."""
    is_running: bool = False
    """It was started and is not closed."""
    has_trained: bool = False
    """It may go on with fewer miners than its least, which it needs only to begin."""
    has_work: bool = True
    """Rounds are to be run. One that only waits for audits needs nobody."""
    passed: int = 0
    """Jobs that came later and were started before it."""


def derive_value(reward: int, rounds: int, slots: int, slot_s: float | None) -> int:
    """A job's value. `reward` in millionths of a credit; `slot_s`: seconds of one miner's work for one slot."""
    return int(reward // (rounds * slots) / max(slot_s or _UNKNOWN_SLOT_S, 1e-6))


def expected_slot_s(measured_s: Iterable[float]) -> float:
    """What a slot of a job is taken to need that has run none yet: as much as the middle one of the other jobs."""
    known = sorted(measured_s)
    return known[len(known) // 2] if known else _UNKNOWN_SLOT_S


# admission


def queue(needs: Iterable[JobNeed]) -> tuple[JobNeed, ...]:
    """The queued jobs, the next to start in front."""
    waiting = [need for need in needs if not need.is_running]
    return tuple(sorted(waiting, key=lambda need: (need.passed < PASSES, _rank(need), need.arrival, need.job)))


def _rank(need: JobNeed) -> int:
    """Those that were passed too often go by arrival, the others by value."""
    return 0 if need.passed >= PASSES else -need.value


def admit(needs: Sequence[JobNeed], miners: int) -> tuple[str, ...]:
    """The queued jobs to start now, with `miners` in the site."""
    free = miners - sum(need.least for need in needs if need.is_running and need.has_work)
    admitted: list[str] = []
    for need in queue(needs):
        if need.least <= free:
            free -= need.least
            admitted.append(need.job)
        elif need.passed >= PASSES and need.least <= miners:
            break  # the miners that come free are kept for this one
    return tuple(admitted)


def explain_waiting(need: JobNeed, needs: Sequence[JobNeed], miners: int, names: Mapping[str, str]) -> str:
    """Why a queued job waits, in words. `names` of jobs by id."""
    if need.least > miners:
        return f"needs {_count(need.least)}, the site has {miners}: start more with 'pouw scale {need.least}'"
    if need.job in admit(needs, miners):
        return "is being started"
    line = [each.job for each in queue(needs) if each.least <= miners]
    place = (
        f"number {line.index(need.job) + 1} of {len(line)} in the queue, worth {need.value / 1e6:.4g} credits a second"
    )
    holders = [each for each in needs if each.is_running and each.has_work]
    free = max(0, miners - sum(each.least for each in holders))
    promised = ", ".join(f"{names[each.job]} ({each.least})" for each in sorted(holders, key=lambda h: h.arrival))
    if need.least > free:
        return f"{place}: needs {_count(need.least)}, {free} of {miners} are not promised to {promised}"
    return f"{place}: {names[line[0]]} goes first"


# sharing


def share_miners(needs: Iterable[JobNeed], miners: int, current: Mapping[str, int]) -> dict[str, int]:
    """How many miners each job gets that runs and has work. `current`: how many it has.

    Each gets at least its minimum, in order of arrival if they do not all fit; no more than its most; beyond that by
    value. A job that has trained goes on with fewer than its minimum if no more are left, one that has not waits.
    """
    ordered = sorted((n for n in needs if n.is_running and n.has_work), key=lambda n: (n.arrival, n.job))
    bounds = _guarantee(ordered, miners)
    total = min(miners, sum(most for _, most in bounds.values()))
    weights = {need.job: max(1, need.value) for need in ordered}
    quotas = derive_quotas(bounds, weights, total)
    anew = _round_up_largest(quotas, total)
    kept = {job: current.get(job, 0) for job in bounds}
    fits = sum(kept.values()) == total and all(low <= kept[job] <= high for job, (low, high) in bounds.items())
    if fits and _distance(kept, quotas) <= _distance(anew, quotas) + HYSTERESIS:
        return kept
    return anew


def _guarantee(ordered: Sequence[JobNeed], miners: int) -> dict[str, tuple[int, int]]:
    """Least and most miners of each job, as far as `miners` go."""
    bounds: dict[str, tuple[int, int]] = {}
    left = miners
    for need in ordered:
        if need.least <= left:
            bounds[need.job] = (need.least, max(need.least, need.most))
            left -= need.least
    for need in ordered:
        if need.job not in bounds:
            granted = left if need.has_trained else 0
            bounds[need.job] = (granted, granted)
            left -= granted
    return bounds


def derive_quotas(bounds: Mapping[str, tuple[int, int]], weights: Mapping[str, int], total: int) -> dict[str, Fraction]:
    """Shares of `total` in proportion to `weights`, each kept within its bounds.

    `total` lies between the sums of the lower and the upper bounds. The share of a job is its weight times one price,
    cut to its bounds; between two neighbours of the prices at which some job meets a bound, the sum is a straight line.
    """
    prices = sorted({Fraction(b, weights[job]) for job, pair in bounds.items() for b in pair})
    for low, high in pairwise(prices):
        at_low, at_high = _filled(bounds, weights, low), _filled(bounds, weights, high)
        if _sum(at_low.values()) <= total <= _sum(at_high.values()):
            span = _sum(at_high.values()) - _sum(at_low.values())
            part = (total - _sum(at_low.values())) / span if span else Fraction()
            return _filled(bounds, weights, low + part * (high - low))
    return {job: Fraction(low) for job, (low, _) in bounds.items()}


def _filled(bounds: Mapping[str, tuple[int, int]], weights: Mapping[str, int], price: Fraction) -> dict[str, Fraction]:
    return {job: min(max(price * weights[job], Fraction(low)), Fraction(high)) for job, (low, high) in bounds.items()}


def _round_up_largest(quotas: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Whole numbers that add up to `total`: the largest remainders are rounded up, earlier jobs first among equals."""
    shares = {job: int(quota) for job, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda job: quotas[job] - shares[job], reverse=True)
    for job in by_remainder[: total - sum(shares.values())]:
        shares[job] += 1
    return shares


def _distance(shares: Mapping[str, int], quotas: Mapping[str, Fraction]) -> Fraction:
    return _sum(abs(shares[job] - quota) for job, quota in quotas.items())


def _sum(parts: Iterable[Fraction]) -> Fraction:
    return sum(parts, Fraction())


# moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A miner that could work, and where it is."""

    name: str
    job: str | None = None
    held: int = 0
    """Slots it has been given and not finished."""
    refused: frozenset[str] = frozenset()
    """Jobs that take nothing from it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What brings the miners to their jobs."""

    leave: tuple[str, ...] = ()
    """Miners that finish what they hold and then are free."""
    join: tuple[tuple[str, str], ...] = ()
    """Free miners and the jobs they go to."""


def plan_moves(miners: Iterable[Placed], shares: Mapping[str, int]) -> Moves:
    """Who leaves a job that has more than its share, who joins one that has less. `miners`: none that is leaving."""
    placed = sorted(miners, key=lambda miner: (len(miner.name), miner.name))
    counts = dict.fromkeys(shares, 0)
    leave: list[str] = []
    for miner in sorted(placed, key=lambda each: -each.held):  # those that hold most stay
        if miner.job is None:
            continue
        if counts.get(miner.job, 0) < shares.get(miner.job, 0):
            counts[miner.job] += 1
        else:
            leave.append(miner.name)
    join: list[tuple[str, str]] = []
    for miner in placed:
        short = {j: share - counts[j] for j, share in shares.items() if share > counts[j] and j not in miner.refused}
        if miner.job is None and short:
            job = max(sorted(short), key=lambda each: short[each])
            counts[job] += 1
            join.append((miner.name, job))
    return Moves(leave=tuple(leave), join=tuple(join))


def _count(miners: int) -> str:
    return f"{miners} miner" if miners == 1 else f"{miners} miners"
