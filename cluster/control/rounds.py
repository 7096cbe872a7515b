"""The rounds of one job as a pure state machine: events in, effects out, no clock, no Ray.

It decides which miner runs which slot, when a round is complete, and what to do when miners come, go, lag or cheat.
It never looks at training results: by invariant 1 they do not depend on any decision made here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final, TypeAlias

from cluster.control.slots import Attempt, MinerId, Slot

CLAIM_DEPTH: Final = 2
"""Short slots one miner may hold: it starts the next without waiting for the coordinator."""
LONG_SLOT_S: Final = 0.2
"""Slots that take longer are held one at a time: a slow miner then keeps none waiting that a fast one could run."""
LAG_FACTOR: Final = 4.0
"""A slot that takes this many times the usual time is handed out a second time."""
LAG_FLOOR_S: Final = 1.0
_HISTORY: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerJoined:
    """A miner is ready and holds nothing. If it was known, it was restarted, and what it held is lost."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerLost:
    """The miner died or does not answer; what it was running is handed out again."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerDraining:
    """The miner finishes what it holds and gets nothing more."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerSilent:
    """The miner does not answer. It gets nothing more; what it holds goes to others too, and may still win."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerHeard:
    """A miner that was silent answers again."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class MinerExcluded:
    """The miner cheated: what it runs or has won in this round does not count."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReported:
    """A report for this attempt arrived and passed every check that needs no replay."""

    slot: int
    attempt: int
    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFailed:
    """An attempt came to nothing although its miner lives: others get the slot, the same miner with the next tick."""

    slot: int
    attempt: int
    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """The miner answered for a slot that is not waited for any more: another was faster, or the round is over."""

    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpened:
    """State `round` is there; its slots may be handed out."""

    round: int
    first_attempt: int = 0
    """Attempts count on from here, higher each time a job goes back: no report is ever taken for an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDropped:
    """The job goes back: nothing that was handed out counts any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = (
    MinerJoined
    | MinerLost
    | MinerDraining
    | MinerSilent
    | MinerHeard
    | MinerExcluded
    | SlotReported
    | SlotFailed
    | CallEnded
    | RoundOpened
    | RoundDropped
    | Tick
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Ask `miner` to run a slot."""

    slot: int
    attempt: int
    miner: MinerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """Every slot is done: sum the winners' updates in slot order."""

    round: int
    winners: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A draining miner holds nothing any more and may stop."""

    miner: MinerId


Effect: TypeAlias = Assign | Aggregate | Release


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundState:
    """Everything the machine knows."""

    slot_count: int
    round: int = -1
    is_open: bool = False
    slots: tuple[Slot, ...] = ()
    miners: Mapping[MinerId, int] = field(default_factory=dict)
    """Slots each miner holds. In front is who has waited longest since it was given one."""
    calls: Mapping[MinerId, int] = field(default_factory=dict)
    """Slots each miner was asked to run and has not answered for, of earlier rounds too: it is still at them."""
    draining: frozenset[MinerId] = frozenset()
    silent: frozenset[MinerId] = frozenset()
    excluded: frozenset[MinerId] = frozenset()
    durations_s: tuple[float, ...] = ()
    """How long the latest slots took."""

    @property
    def usual_s(self) -> float:
        """How long a slot takes from being handed out to its report; 0 while that is not known."""
        return median(self.durations_s) if self.durations_s else 0.0

    @property
    def waiting_reason(self) -> str:
        """Why nothing happens, in words; empty when something does."""
        runs = any(attempt.miner not in self.silent for slot in self.slots for attempt in slot.attempts)
        if not self.is_open or runs:
            return ""
        if not self.miners:
            return "no miners: start some with 'pouw scale N'"
        if self.miners.keys() <= self.silent:
            return "no miner answers: they are replaced if they stay silent"
        if all(miner in self.draining for miner in self.miners):
            return "all miners are draining"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The next state and what has to be done about it, in order."""

    state: RoundState
    effects: tuple[Effect, ...] = ()


def step(state: RoundState, event: Event, now_s: float) -> Transition:
    """What `event` at `now_s` (seconds of a monotonic clock) leads to."""
    state = _absorb(state, event, now_s)
    state, assigned = _hand_out(state, now_s, is_tick=isinstance(event, Tick))
    state, released = _release(state)
    state, aggregated = _complete(state)
    return Transition(state=state, effects=(*assigned, *released, *aggregated))


def _absorb(state: RoundState, event: Event, now_s: float) -> RoundState:
    match event:
        case MinerJoined(miner=miner):
            return _join(state, miner)
        case MinerLost(miner=miner):
            return _remove(state, miner)
        case MinerDraining(miner=miner):
            return replace(state, draining=state.draining | ({miner} & state.miners.keys()))
        case MinerSilent() | MinerHeard():
            return _note_silence(state, event)
        case MinerExcluded(miner=miner):
            return _exclude(state, miner)
        case SlotReported() | SlotFailed():
            done = _end_call(state, event.miner)
            return _finish(done, event, now_s) if isinstance(event, SlotReported) else _give_up(done, event)
        case CallEnded(miner=miner):
            return _end_call(state, miner)
        case RoundOpened(round=number, first_attempt=first):
            slots = tuple(Slot(index=i, next_attempt=first) for i in range(state.slot_count))
            return replace(state, round=number, is_open=True, slots=slots, miners=dict.fromkeys(state.miners, 0))
        case RoundDropped():
            return replace(state, is_open=False, slots=(), miners=dict.fromkeys(state.miners, 0))
    return state


def _end_call(state: RoundState, miner: MinerId) -> RoundState:
    if not state.calls.get(miner):
        return state
    return replace(state, calls={**state.calls, miner: state.calls[miner] - 1})


def _join(state: RoundState, miner: MinerId) -> RoundState:
    if miner in state.excluded:
        return state
    fresh = _remove(state, miner)
    return replace(fresh, miners={**fresh.miners, miner: 0})


def _remove(state: RoundState, miner: MinerId) -> RoundState:
    miners = {m: held for m, held in state.miners.items() if m != miner}
    slots = tuple(slot.without(miner) for slot in state.slots)
    calls = {m: running for m, running in state.calls.items() if m != miner}
    gone = {miner}
    return replace(
        state, miners=miners, calls=calls, slots=slots, draining=state.draining - gone, silent=state.silent - gone
    )


def _note_silence(state: RoundState, event: MinerSilent | MinerHeard) -> RoundState:
    if isinstance(event, MinerHeard):
        return replace(state, silent=state.silent - {event.miner})
    return replace(state, silent=state.silent | ({event.miner} & state.miners.keys()))


def _exclude(state: RoundState, miner: MinerId) -> RoundState:
    state = replace(_remove(state, miner), excluded=state.excluded | {miner})
    if not state.is_open:
        return state
    slots = tuple(s.reopen() if s.winner is not None and s.winner.miner == miner else s for s in state.slots)
    return replace(state, slots=slots)


def _finish(state: RoundState, event: SlotReported, now_s: float) -> RoundState:
    attempt = _find(state, event)
    if attempt is None:
        return state
    slot = state.slots[event.slot]
    freed = {a.miner: state.miners[a.miner] - 1 for a in slot.attempts}
    durations = (*state.durations_s, now_s - attempt.since_s)[-_HISTORY:]
    return replace(_with_slot(state, slot.finish(attempt)), miners={**state.miners, **freed}, durations_s=durations)


def _give_up(state: RoundState, event: SlotFailed) -> RoundState:
    attempt = _find(state, event)
    if attempt is None:
        return state
    miners = {**state.miners, event.miner: state.miners[event.miner] - 1}
    return replace(_with_slot(state, state.slots[event.slot].give_up(attempt)), miners=miners)


def _find(state: RoundState, event: SlotReported | SlotFailed) -> Attempt | None:
    """The running attempt that an event is about; None if it is over, or of a round that is."""
    return state.slots[event.slot].find(event.attempt, event.miner) if state.is_open else None


def _with_slot(state: RoundState, slot: Slot) -> RoundState:
    return replace(state, slots=(*state.slots[: slot.index], slot, *state.slots[slot.index + 1 :]))


def _hand_out(state: RoundState, now_s: float, *, is_tick: bool) -> tuple[RoundState, list[Effect]]:
    """Slots that no miner runs that answers go out at once; with a tick also those that lag, to idle miners."""
    if not state.is_open:
        return state, []
    slots, miners, calls = list(state.slots), dict(state.miners), dict(state.calls)
    wanted = [slot.index for slot in slots if _is_wanted(slot, state.silent)]
    if is_tick:
        wanted += [slot.index for slot in slots if _lags(slot, state.usual_s, now_s)]
    depth = 1 if state.usual_s > LONG_SLOT_S else CLAIM_DEPTH
    free = {m for m in miners if calls.get(m, 0) < depth and m not in state.draining | state.silent}
    effects: list[Effect] = []
    for index in wanted if free else ():
        miner = _choose(slots[index], miners, free, state.silent, is_tick=is_tick)
        if miner is None:
            continue
        slots[index] = slots[index].assign(miner, now_s)
        miners[miner] = miners.pop(miner) + 1
        calls[miner] = calls.get(miner, 0) + 1
        if calls[miner] == depth:
            free.remove(miner)
        effects.append(Assign(slot=index, attempt=slots[index].attempts[-1].number, miner=miner))
    return (replace(state, slots=tuple(slots), miners=miners, calls=calls), effects) if effects else (state, effects)


def _is_wanted(slot: Slot, silent: frozenset[MinerId]) -> bool:
    return slot.winner is None and all(attempt.miner in silent for attempt in slot.attempts)


def _choose(
    slot: Slot, miners: Mapping[MinerId, int], free: set[MinerId], silent: frozenset[MinerId], *, is_tick: bool
) -> MinerId | None:
    """The free miner that holds least, then waits longest. Those that failed the slot: last, and only with a tick."""
    busy = {attempt.miner for attempt in slot.attempts}
    unsuited = busy if is_tick else busy | slot.failed
    is_run = not busy <= silent
    suited = (m for m in miners if m in free and m not in unsuited and not (is_run and miners[m]))
    return min(suited, key=lambda m: (m in slot.failed, miners[m]), default=None)


def _lags(slot: Slot, usual_s: float, now_s: float) -> bool:
    patience_s = max(LAG_FLOOR_S, LAG_FACTOR * usual_s) * 2 ** max(0, len(slot.attempts) - 1)
    return bool(slot.attempts) and now_s - slot.attempts[-1].since_s > patience_s


def _release(state: RoundState) -> tuple[RoundState, list[Effect]]:
    done = [miner for miner in state.draining if state.miners.get(miner, 0) == 0]
    for miner in done:
        state = _remove(state, miner)
    return state, [Release(miner=miner) for miner in sorted(done)]


def _complete(state: RoundState) -> tuple[RoundState, list[Effect]]:
    if not state.is_open or not all(slot.is_done for slot in state.slots):
        return state, []
    winners = tuple(slot.winner for slot in state.slots if slot.winner is not None)
    return replace(state, is_open=False), [Aggregate(round=state.round, winners=winners)]
