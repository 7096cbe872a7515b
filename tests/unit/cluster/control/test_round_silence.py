"""Miners that do not answer: others run their slots too, nothing they still send is lost, nothing new goes to them."""

from dataclasses import replace

from cluster.control.rounds import (
    CLAIM_DEPTH,
    Aggregate,
    Assign,
    Event,
    MinerHeard,
    MinerJoined,
    MinerLost,
    MinerSilent,
    RoundOpened,
    RoundState,
    SlotReported,
    Tick,
    Transition,
    step,
)
from cluster.control.slots import MinerId

ANNA, BELA = MinerId(b"anna"), MinerId(b"bela")


def run(slots: int, *events: Event) -> Transition:
    transition = Transition(state=RoundState(slot_count=slots))
    for event in events:
        transition = step(transition.state, event, 0.0)
    return transition


def assigned(transition: Transition) -> list[tuple[int, int, MinerId]]:
    return [(e.slot, e.attempt, e.miner) for e in transition.effects if isinstance(e, Assign)]


ANNA_RUNS = (MinerJoined(miner=ANNA), RoundOpened(round=0), MinerJoined(miner=BELA))
SILENT = MinerSilent(miner=ANNA)


def test_the_slots_of_a_silent_miner_go_out_again_at_once() -> None:
    assert assigned(run(2, *ANNA_RUNS, SILENT)) == [(0, 1, BELA), (1, 1, BELA)]


def test_a_silent_miner_gets_nothing_more() -> None:
    state = run(1, *ANNA_RUNS, SILENT, SlotReported(slot=0, attempt=1, miner=BELA), RoundOpened(round=1))
    assert assigned(state) == [(0, 0, BELA)]


def test_what_a_silent_miner_still_sends_counts() -> None:
    last = run(1, *ANNA_RUNS, SILENT, SlotReported(slot=0, attempt=0, miner=ANNA))
    assert [e.winners[0].miner for e in last.effects if isinstance(e, Aggregate)] == [ANNA]
    assert last.state.miners == {ANNA: 0, BELA: 0}


def test_the_second_answer_to_a_slot_changes_nothing() -> None:
    done = run(2, *ANNA_RUNS, SILENT, SlotReported(slot=0, attempt=1, miner=BELA))
    late = step(done.state, SlotReported(slot=0, attempt=0, miner=ANNA), 0.0)
    assert (replace(late.state, calls={}), late.effects) == (replace(done.state, calls={}), ())
    assert late.state.calls[ANNA] == done.state.calls[ANNA] - 1


def test_a_miner_that_is_heard_again_gets_slots_again() -> None:
    state = run(1, MinerJoined(miner=ANNA), SILENT, RoundOpened(round=0))
    assert assigned(state) == []
    assert assigned(step(state.state, MinerHeard(miner=ANNA), 0.0)) == [(0, 0, ANNA)]


def test_a_busy_miner_takes_over_what_a_silent_one_holds() -> None:
    both = run(2, MinerJoined(miner=ANNA), MinerJoined(miner=BELA), RoundOpened(round=0))
    assert both.state.miners == {ANNA: 1, BELA: 1}
    assert assigned(step(both.state, SILENT, 0.0)) == [(0, 1, BELA)]


def test_no_more_goes_out_than_a_miner_may_hold() -> None:
    last = run(3, *ANNA_RUNS, SILENT)
    assert last.state.miners[BELA] == CLAIM_DEPTH


def test_a_slot_of_a_silent_miner_is_handed_out_once_not_with_every_tick() -> None:
    taken_over = run(1, *ANNA_RUNS, SILENT)
    assert assigned(step(taken_over.state, Tick(), 0.0)) == []


def test_silence_ends_with_the_miner() -> None:
    assert run(1, *ANNA_RUNS, SILENT, MinerLost(miner=ANNA)).state.silent == frozenset()
    assert run(1, *ANNA_RUNS, SILENT, MinerJoined(miner=ANNA)).state.silent == frozenset()


def test_a_miner_nobody_knows_is_not_noted() -> None:
    assert run(1, SILENT).state.silent == frozenset()


def test_the_reason_says_that_nobody_answers() -> None:
    state = run(1, MinerJoined(miner=ANNA), RoundOpened(round=0), SILENT).state
    assert "no miner answers" in state.waiting_reason
    assert step(state, MinerHeard(miner=ANNA), 0.0).state.waiting_reason == ""
