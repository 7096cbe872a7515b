"""Rounds from opening to aggregation: who gets which slot, which answers count, when a round is complete."""

from dataclasses import replace

from cluster.control.rounds import (
    CLAIM_DEPTH,
    LAG_FACTOR,
    LAG_FLOOR_S,
    LONG_SLOT_S,
    Aggregate,
    Assign,
    CallEnded,
    Effect,
    Event,
    MinerExcluded,
    MinerJoined,
    MinerLost,
    RoundDropped,
    RoundOpened,
    RoundState,
    SlotFailed,
    SlotReported,
    Tick,
    step,
)
from cluster.control.slots import MinerId

ANNA, BELA, CARL = (MinerId(name) for name in (b"anna", b"bela", b"carl"))


class Machine:
    """The state after some events, and the effects of the last one."""

    def __init__(self, slots: int, *miners: MinerId) -> None:
        self.state = RoundState(slot_count=slots)
        self.effects: tuple[Effect, ...] = ()
        for miner in miners:
            self.tell(MinerJoined(miner=miner))

    def tell(self, event: Event, at_s: float = 0.0) -> "Machine":
        transition = step(self.state, event, at_s)
        self.state, self.effects = transition.state, transition.effects
        return self

    def report(self, slot: int, attempt: int, miner: MinerId, at_s: float = 0.0) -> "Machine":
        return self.tell(SlotReported(slot=slot, attempt=attempt, miner=miner), at_s)

    @property
    def assigned(self) -> list[tuple[int, int, MinerId]]:
        return [(e.slot, e.attempt, e.miner) for e in self.effects if isinstance(e, Assign)]

    @property
    def winners(self) -> list[MinerId] | None:
        found = [[w.miner for w in e.winners] for e in self.effects if isinstance(e, Aggregate)]
        return found[0] if found else None


def opened(slots: int, *miners: MinerId) -> Machine:
    return Machine(slots, *miners).tell(RoundOpened(round=0))


def test_nothing_is_handed_out_before_a_round_opens() -> None:
    assert Machine(2, ANNA).assigned == []


def test_slots_go_to_miners_in_turn() -> None:
    assert opened(3, ANNA, BELA).assigned == [(0, 0, ANNA), (1, 0, BELA), (2, 0, ANNA)]


def test_a_miner_holds_at_most_its_claim_depth() -> None:
    machine = opened(5, ANNA)
    assert len(machine.assigned) == CLAIM_DEPTH
    assert machine.report(0, 0, ANNA).assigned == [(2, 0, ANNA)]


def test_long_slots_are_claimed_one_at_a_time_so_the_fast_run_more() -> None:
    machine = opened(6, ANNA, BELA)
    assert machine.assigned == [(0, 0, ANNA), (1, 0, BELA), (2, 0, ANNA), (3, 0, BELA)]
    assert machine.report(0, 0, ANNA, 5 * LONG_SLOT_S).assigned == []
    assert machine.report(2, 0, ANNA, 6 * LONG_SLOT_S).assigned == [(4, 0, ANNA)]
    assert machine.report(4, 0, ANNA, 7 * LONG_SLOT_S).assigned == [(5, 0, ANNA)]


def test_who_was_overtaken_gets_nothing_new_before_it_answers() -> None:
    """Otherwise a slow miner would be behind in every round, with ever more slots that nobody waits for."""
    machine = opened(1, ANNA).report(0, 0, ANNA, 5 * LONG_SLOT_S).tell(RoundOpened(round=1), 10.0)
    machine.tell(MinerJoined(miner=BELA), 10.0).tell(Tick(), 10.0 + 2 * LAG_FACTOR * LAG_FLOOR_S)
    assert machine.assigned == [(0, 1, BELA)]
    machine.report(0, 1, BELA, 20.0).tell(RoundOpened(round=2), 20.0)
    assert machine.assigned == [(0, 0, BELA)]
    machine.report(0, 0, BELA, 21.0).tell(CallEnded(miner=ANNA), 21.0).tell(RoundOpened(round=3), 21.0)
    assert machine.assigned == [(0, 0, ANNA)]


def test_who_waited_longest_is_next() -> None:
    machine = opened(1, ANNA, BELA).report(0, 0, ANNA).tell(RoundOpened(round=1))
    assert machine.assigned == [(0, 0, BELA)]
    machine.report(0, 0, BELA).tell(RoundOpened(round=2))
    assert machine.assigned == [(0, 0, ANNA)]


def test_a_late_joiner_gets_what_is_open() -> None:
    machine = opened(3, ANNA).tell(MinerJoined(miner=BELA))
    assert machine.assigned == [(2, 0, BELA)]


def test_the_last_report_completes_the_round_in_slot_order() -> None:
    machine = opened(2, ANNA, BELA)
    assert machine.report(1, 0, BELA).winners is None
    assert machine.report(0, 0, ANNA).winners == [ANNA, BELA]
    assert not machine.state.is_open


def test_a_second_report_of_a_slot_changes_nothing() -> None:
    machine = opened(2, ANNA, BELA).report(0, 0, ANNA)
    before = machine.state
    assert machine.report(0, 0, ANNA).state == before


def test_a_report_of_another_attempt_or_miner_does_not_count() -> None:
    machine = opened(1, ANNA)
    assert machine.report(0, 1, ANNA).winners is None
    assert machine.report(0, 0, BELA).winners is None
    assert machine.report(0, 0, ANNA).winners == [ANNA]


def test_an_answer_that_comes_when_no_round_is_open_is_ignored() -> None:
    machine = Machine(2, ANNA)
    assert machine.report(0, 0, ANNA).effects == ()
    assert machine.tell(SlotFailed(slot=0, attempt=0, miner=ANNA)).effects == ()


def test_slots_of_a_lost_miner_go_to_another() -> None:
    machine = opened(2, ANNA, BELA).tell(MinerLost(miner=ANNA))
    assert machine.assigned == [(0, 1, BELA)]
    assert set(machine.state.miners) == {BELA}
    assert machine.report(0, 0, ANNA).winners is None


def test_what_a_lost_miner_has_won_stays() -> None:
    machine = opened(2, ANNA, BELA).report(0, 0, ANNA).tell(MinerLost(miner=ANNA))
    assert machine.report(1, 0, BELA).winners == [ANNA, BELA]


def test_a_miner_that_rejoins_holds_nothing() -> None:
    machine = opened(2, ANNA).tell(MinerJoined(miner=ANNA))
    assert machine.assigned == [(0, 1, ANNA), (1, 1, ANNA)]
    assert machine.report(0, 0, ANNA).winners is None


def test_a_failed_slot_goes_to_another_miner_at_once() -> None:
    machine = opened(1, ANNA, BELA).tell(SlotFailed(slot=0, attempt=0, miner=ANNA))
    assert machine.assigned == [(0, 1, BELA)]


def test_a_failed_slot_comes_back_to_its_miner_with_a_tick_only() -> None:
    machine = opened(1, ANNA).tell(SlotFailed(slot=0, attempt=0, miner=ANNA))
    assert machine.assigned == []
    assert machine.tell(Tick(), 1.0).assigned == [(0, 1, ANNA)]


def test_with_a_tick_others_are_still_asked_before_one_that_failed() -> None:
    machine = opened(1, ANNA).tell(SlotFailed(slot=0, attempt=0, miner=ANNA))
    machine.state = replace(machine.state, miners={**machine.state.miners, BELA: 1})
    assert machine.tell(Tick(), 1.0).assigned == [(0, 1, BELA)]


def test_a_failure_of_an_attempt_that_is_over_changes_nothing() -> None:
    machine = opened(1, ANNA)
    before = machine.state
    assert replace(machine.tell(SlotFailed(slot=0, attempt=7, miner=ANNA)).state, calls=before.calls) == before


def test_a_dropped_round_takes_no_answers_and_hands_nothing_out() -> None:
    machine = opened(1, ANNA).tell(RoundDropped())
    assert not machine.state.is_open
    assert machine.state.miners == {ANNA: 0}
    assert machine.report(0, 0, ANNA).effects == ()
    assert machine.tell(MinerJoined(miner=BELA)).effects == ()


def test_attempts_count_from_where_the_round_says() -> None:
    machine = Machine(1, ANNA).tell(RoundOpened(round=4, first_attempt=1000))
    assert machine.assigned == [(0, 1000, ANNA)]
    assert machine.tell(MinerJoined(miner=ANNA)).assigned == [(0, 1001, ANNA)]


def test_an_excluded_miner_loses_what_it_runs_and_what_it_won() -> None:
    machine = opened(3, ANNA, BELA).report(0, 0, ANNA).tell(MinerExcluded(miner=ANNA))
    assert machine.assigned == [(0, 1, BELA)]
    assert machine.state.slots[2].is_open
    machine.report(1, 0, BELA).report(0, 1, BELA)
    assert machine.report(2, 1, BELA).winners == [BELA, BELA, BELA]


def test_an_exclusion_between_rounds_leaves_the_finished_one() -> None:
    machine = opened(1, ANNA).report(0, 0, ANNA)
    slots = machine.state.slots
    assert machine.tell(MinerExcluded(miner=ANNA)).state.slots == slots
    assert machine.state.miners == {}


def test_an_excluded_miner_does_not_come_back() -> None:
    machine = opened(1).tell(MinerExcluded(miner=ANNA)).tell(MinerJoined(miner=ANNA))
    assert machine.assigned == []
    assert machine.state.miners == {}
