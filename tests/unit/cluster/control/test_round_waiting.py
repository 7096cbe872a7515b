"""Rounds that are held up: lagging slots, draining miners, and the reason given when nothing happens."""

from dataclasses import replace

from cluster.control.rounds import (
    LAG_FACTOR,
    LAG_FLOOR_S,
    Assign,
    Event,
    MinerDraining,
    MinerJoined,
    MinerLost,
    Release,
    RoundOpened,
    RoundState,
    SlotFailed,
    SlotReported,
    Tick,
    Transition,
    step,
)
from cluster.control.slots import MinerId

ANNA, BELA = MinerId(b"anna"), MinerId(b"bela")


def run(slots: int, *events: tuple[float, Event]) -> Transition:
    """The transition of the last event."""
    transition = Transition(state=RoundState(slot_count=slots))
    for at_s, event in events:
        transition = step(transition.state, event, at_s)
    return transition


def joined(*miners: MinerId) -> list[tuple[float, Event]]:
    return [(0.0, MinerJoined(miner=miner)) for miner in miners]


OPEN = (0.0, RoundOpened(round=0))
ONE_IDLE = [*joined(ANNA), OPEN, *joined(BELA)]
"""One slot, run by Anna, while Bela has nothing to do."""


def assigned(transition: Transition) -> list[tuple[int, int, MinerId]]:
    return [(e.slot, e.attempt, e.miner) for e in transition.effects if isinstance(e, Assign)]


def test_a_lagging_slot_is_handed_out_a_second_time() -> None:
    assert assigned(run(1, *ONE_IDLE, (LAG_FLOOR_S, Tick()))) == []
    assert assigned(run(1, *ONE_IDLE, (LAG_FLOOR_S + 0.1, Tick()))) == [(0, 1, BELA)]


def test_only_a_tick_looks_for_lagging_slots() -> None:
    assert assigned(run(1, *ONE_IDLE, (100.0, MinerJoined(miner=BELA)))) == []


def test_patience_follows_what_slots_usually_take() -> None:
    first = [*joined(ANNA), OPEN, (10.0, SlotReported(slot=0, attempt=0, miner=ANNA))]
    again = [*first, (10.0, RoundOpened(round=1)), (10.0, MinerJoined(miner=BELA))]
    limit_s = 10.0 + LAG_FACTOR * 10.0
    assert assigned(run(1, *again, (limit_s, Tick()))) == []
    assert assigned(run(1, *again, (limit_s + 0.1, Tick()))) == [(0, 1, BELA)]


def test_a_lagging_slot_is_not_given_to_a_miner_with_work() -> None:
    events = [*joined(ANNA, BELA), OPEN, (LAG_FLOOR_S + 1, Tick())]
    assert assigned(run(2, *events)) == []


def test_a_lagging_slot_does_not_wait_for_an_open_one_that_nobody_takes() -> None:
    """Bela failed slot 1, so it waits for Anna, who is frozen with slot 0: with the tick Bela gets both."""
    failed = SlotFailed(slot=1, attempt=0, miner=BELA)
    events = [*joined(ANNA, BELA), OPEN, (0.0, SlotReported(slot=0, attempt=9, miner=ANNA)), (1.0, failed)]
    transition = run(2, *events)
    assert assigned(transition) == [(1, 1, ANNA)]
    later = step(transition.state, Tick(), 1.0 + LAG_FLOOR_S + 1)
    assert assigned(later) == [(0, 1, BELA)]


def test_the_first_of_two_answers_wins() -> None:
    twice = [*ONE_IDLE, (6.0, Tick()), (7.0, SlotReported(slot=0, attempt=1, miner=BELA))]
    done = run(1, *twice)
    assert [winner.miner for e in done.effects for winner in getattr(e, "winners", ())] == [BELA]
    assert done.state.miners == {ANNA: 0, BELA: 0}


def test_each_further_attempt_needs_more_patience() -> None:
    third = MinerId(b"carl")
    events = [*ONE_IDLE, (6.0, Tick()), (6.0, MinerJoined(miner=third))]
    assert assigned(run(1, *events, (6.0 + 2 * LAG_FLOOR_S, Tick()))) == []
    assert assigned(run(1, *events, (6.1 + 2 * LAG_FLOOR_S, Tick()))) == [(0, 2, third)]
    fourth = [*events, (17.0, Tick()), (17.0, MinerJoined(miner=MinerId(b"dora")))]
    assert assigned(run(1, *fourth, (17.0 + 4 * LAG_FLOOR_S, Tick()))) == []
    assert len(assigned(run(1, *fourth, (17.1 + 4 * LAG_FLOOR_S, Tick())))) == 1


def test_a_draining_miner_finishes_and_is_released() -> None:
    events = [*joined(ANNA), OPEN, (0.0, MinerDraining(miner=ANNA))]
    assert run(2, *events).effects == ()
    done = run(2, *events, *((1.0, SlotReported(slot=i, attempt=0, miner=ANNA)) for i in range(2)))
    assert Release(miner=ANNA) in done.effects
    assert done.state.miners == {}
    assert done.state.draining == frozenset()


def test_a_draining_miner_gets_nothing_more() -> None:
    events = [*joined(ANNA, BELA), OPEN, (0.0, MinerDraining(miner=ANNA)), (1.0, MinerLost(miner=BELA))]
    assert assigned(run(2, *events)) == []


def test_an_idle_miner_is_released_as_soon_as_it_drains() -> None:
    assert run(1, *joined(ANNA), (0.0, MinerDraining(miner=ANNA))).effects == (Release(miner=ANNA),)


def test_draining_an_unknown_miner_changes_nothing() -> None:
    before = run(1, *joined(ANNA)).state
    assert step(before, MinerDraining(miner=BELA), 0.0) == Transition(state=before)


def test_says_why_nothing_happens() -> None:
    assert run(1, *joined(ANNA)).state.waiting_reason == ""
    assert "no miners" in run(1, OPEN).state.waiting_reason
    assert run(1, *joined(ANNA), OPEN).state.waiting_reason == ""
    failed = SlotFailed(slot=0, attempt=0, miner=ANNA)
    assert run(1, *joined(ANNA), OPEN, (0.0, failed)).state.waiting_reason == ""


def test_says_that_all_miners_drain() -> None:
    draining = [*joined(ANNA), OPEN, (0.0, SlotFailed(slot=0, attempt=0, miner=ANNA))]
    state = run(1, *draining).state
    assert state.waiting_reason == ""
    assert "draining" in replace(state, draining=frozenset({ANNA})).waiting_reason
