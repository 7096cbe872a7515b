"""Whatever order answers and ticks come in: who answers in time is never accused, who does not is found in time."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from cluster.control.heartbeats import (
    STEP_S,
    Beat,
    Begun,
    Died,
    FellSilent,
    Heartbeat,
    Patience,
    Tick,
    WatchState,
    ask,
    step,
)
from consensus.primitives.integers import Digest
from tests.kit.genesis import public_key

WATCH = Digest(b"w" * 32)
KEY = public_key("miner-0")
PATIENCE: Final = Patience(silent_s=2.5, dead_s=10.0, start_s=60.0)
pauses = st.floats(min_value=0.0, max_value=10_000.0)


def begun() -> WatchState:
    return step(WatchState(watch=WATCH), Begun(role="r", patience=PATIENCE, key=KEY)).state


def answered(state: WatchState) -> WatchState:
    state, question = ask(state)
    return step(state, Beat(heartbeat=Heartbeat(role="r", pid=1, watch=WATCH, question=question), signer=KEY)).state


@given(st.lists(pauses, max_size=200))
def test_one_answer_after_every_second_tick_is_enough(passed: list[float]) -> None:
    """However long each tick says that the watch itself was away."""
    assert PATIENCE.silent_s > 2 * STEP_S
    state = answered(begun())
    for number, seconds in enumerate(passed):
        transition = step(state, Tick(passed_s=seconds))
        assert transition.effects == ()
        state = answered(transition.state) if number % 2 else transition.state


@given(st.lists(st.floats(min_value=0.05, max_value=STEP_S), min_size=1, max_size=400))
def test_who_never_answers_again_is_found_in_time(passed: list[float]) -> None:
    state, gone_s, seen = answered(begun()), 0.0, []
    for seconds in passed:
        transition = step(state, Tick(passed_s=seconds))
        state, gone_s = transition.state, gone_s + seconds
        seen += [(type(effect), gone_s) for effect in transition.effects]
    silent = [at_s for kind, at_s in seen if kind is FellSilent]
    died = [at_s for kind, at_s in seen if kind is Died]
    assert [PATIENCE.silent_s < at_s <= PATIENCE.silent_s + STEP_S for at_s in silent] in ([], [True])
    assert bool(silent) == (gone_s > PATIENCE.silent_s)
    assert not died or PATIENCE.dead_s < died[0] <= PATIENCE.dead_s + STEP_S
    assert bool(died) == (gone_s > PATIENCE.dead_s)
