"""Heartbeats: which answers count, who falls silent, who is dead, and that a held-up watch accuses nobody."""

import pytest

from cluster.control.heartbeats import (
    HERE_PERIOD_S,
    PERIOD_S,
    STEP_S,
    TICK_S,
    Begun,
    Died,
    Effect,
    Ended,
    Event,
    FellSilent,
    Heard,
    Heartbeat,
    Patience,
    Pulse,
    Tick,
    WatchState,
    answer,
    ask,
    open_beat,
    running,
    step,
)
from cluster.errors import HeartbeatError
from consensus.errors import EncodingError, SignatureError
from consensus.primitives.integers import Digest
from tests.kit.genesis import public_key, secret_key

CHAIN, WATCH = Digest(b"c" * 32), Digest(b"w" * 32)
PATIENCE = Patience(silent_s=2.0, dead_s=6.0, start_s=20.0)


class Watch:
    """A watch over one role, and what it has said so far."""

    def __init__(self) -> None:
        self.state = WatchState(watch=WATCH)
        self.said: list[Effect] = []
        self.tell(Begun(role="miner-0", patience=PATIENCE, key=public_key("miner-0")))

    def tell(self, event: Event) -> None:
        transition = step(self.state, event)
        self.state = transition.state
        self.said += transition.effects

    def ask(self) -> int:
        self.state, question = ask(self.state)
        return question

    def take(self, data: bytes) -> None:
        self.tell(open_beat(self.state, data, CHAIN))

    def hear(self, pid: int = 7) -> None:
        self.take(beat(self.ask(), pid=pid))

    def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.tell(Tick(passed_s=TICK_S))


def beat(
    question: int, *, signer: str = "miner-0", role: str = "miner-0", watch: Digest = WATCH, pid: int = 7
) -> bytes:
    return answer(secret_key(signer), CHAIN, Heartbeat(role=role, pid=pid, watch=watch, question=question))


def refusal(watch: Watch, data: bytes) -> str:
    with pytest.raises(HeartbeatError) as caught:
        watch.take(data)
    return caught.value.code


def test_the_first_answer_is_news() -> None:
    watch = Watch()
    watch.hear()
    watch.hear()
    assert watch.said == [Heard(role="miner-0", pid=7)]


def test_silence_then_death() -> None:
    watch = Watch()
    watch.hear()
    watch.pass_s(PATIENCE.silent_s)
    assert watch.state.roles["miner-0"].pulse is Pulse.ALIVE
    watch.pass_s(TICK_S)
    assert watch.said[1:] == [FellSilent(role="miner-0")]
    watch.pass_s(PATIENCE.dead_s - PATIENCE.silent_s)
    assert watch.said[2:] == [Died(role="miner-0", pid=7)]


STOPPED = Tick(passed_s=TICK_S, stopped=frozenset({"miner-0"}))


def test_a_process_that_is_stopped_at_two_looks_in_a_row_is_dead() -> None:
    watch = Watch()
    watch.hear()
    assert running(watch.state) == (("miner-0", 7),)
    watch.tell(STOPPED)
    assert watch.said[1:] == []
    watch.tell(STOPPED)
    assert watch.said[1:] == [Died(role="miner-0", pid=7)]
    assert running(watch.state) == ()


def test_a_stopped_process_may_be_woken_before_that() -> None:
    watch = Watch()
    watch.hear()
    for _ in range(3):
        watch.tell(STOPPED)
        watch.tell(Tick(passed_s=TICK_S))
    assert watch.said == [Heard(role="miner-0", pid=7)]


def test_a_role_that_starts_is_not_looked_at() -> None:
    watch = Watch()
    watch.pass_s(5.0)
    assert running(watch.state) == ()
    watch.tell(STOPPED)
    watch.tell(STOPPED)
    assert watch.said == []


def test_a_role_that_was_stopped_while_it_started_has_to_be_seen_twice_again() -> None:
    watch = Watch()
    watch.tell(STOPPED)
    watch.hear()
    watch.tell(STOPPED)
    assert watch.said == [Heard(role="miner-0", pid=7)]


def test_a_role_that_wakes_is_heard_again() -> None:
    watch = Watch()
    watch.hear()
    slept = watch.ask()
    watch.pass_s(3.0)
    watch.take(beat(slept))
    assert watch.said[1:] == [FellSilent(role="miner-0"), Heard(role="miner-0", pid=7)]


def test_a_restarted_process_is_news() -> None:
    watch = Watch()
    watch.hear(pid=7)
    watch.hear(pid=8)
    assert watch.said[1:] == [Heard(role="miner-0", pid=8)]


def test_a_killed_role_has_time_to_start() -> None:
    watch = Watch()
    watch.hear()
    watch.pass_s(PATIENCE.dead_s + TICK_S)
    watch.pass_s(PATIENCE.start_s)
    assert [type(effect) for effect in watch.said] == [Heard, FellSilent, Died]
    watch.pass_s(TICK_S)
    assert watch.said[3:] == [Died(role="miner-0", pid=0)]


def test_a_watch_that_was_held_up_accuses_nobody() -> None:
    watch = Watch()
    watch.hear()
    watch.tell(Tick(passed_s=3600.0))
    assert watch.state.roles["miner-0"].quiet_s == STEP_S
    assert watch.said == [Heard(role="miner-0", pid=7)]


def test_what_is_no_longer_watched_does_not_die() -> None:
    watch = Watch()
    watch.hear()
    watch.tell(Ended(role="miner-0"))
    watch.pass_s(60.0)
    assert watch.said == [Heard(role="miner-0", pid=7)]


def test_an_answer_counts_once() -> None:
    watch = Watch()
    data = beat(watch.ask())
    watch.take(data)
    assert refusal(watch, data) == "heartbeat-replayed"


def test_an_earlier_answer_is_refused_after_a_later_one() -> None:
    watch = Watch()
    first, second = watch.ask(), watch.ask()
    watch.take(beat(second))
    assert refusal(watch, beat(first)) == "heartbeat-replayed"


def test_an_answer_from_before_the_role_began_anew_is_refused() -> None:
    watch = Watch()
    data = beat(watch.ask())
    watch.tell(Begun(role="miner-0", patience=PATIENCE))
    assert refusal(watch, data) == "heartbeat-replayed"


def test_a_question_that_was_not_asked_is_refused() -> None:
    watch = Watch()
    assert refusal(watch, beat(watch.ask() + 1)) == "heartbeat-replayed"


def test_an_answer_to_another_watch_is_refused() -> None:
    watch = Watch()
    assert refusal(watch, beat(watch.ask(), watch=Digest(b"o" * 32))) == "heartbeat-watch"


def test_another_key_is_refused() -> None:
    watch = Watch()
    assert refusal(watch, beat(watch.ask(), signer="other")) == "heartbeat-key"


def test_the_first_key_is_kept_where_none_was_known() -> None:
    watch = Watch()
    watch.tell(Begun(role="verifier-0", patience=PATIENCE))
    watch.take(beat(watch.ask(), role="verifier-0", signer="verifier"))
    assert refusal(watch, beat(watch.ask(), role="verifier-0", signer="other")) == "heartbeat-key"


def test_a_role_that_is_not_watched_is_refused() -> None:
    watch = Watch()
    assert refusal(watch, beat(watch.ask(), role="miner-1")) == "heartbeat-role"


def test_a_beat_of_another_chain_is_refused() -> None:
    watch = Watch()
    data = answer(
        secret_key("miner-0"), Digest(b"x" * 32), Heartbeat(role="miner-0", pid=7, watch=WATCH, question=watch.ask())
    )
    with pytest.raises(SignatureError):
        watch.take(data)


def test_one_flipped_byte_is_refused() -> None:
    watch = Watch()
    data = beat(watch.ask())
    for at in range(len(data)):
        altered = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((SignatureError, EncodingError, HeartbeatError)):
            watch.take(altered)
    watch.take(data)


def test_a_role_that_is_asked_less_often_has_as_long_to_answer() -> None:
    later = PATIENCE.at_period(HERE_PERIOD_S)
    assert later.silent_s - PATIENCE.silent_s == later.dead_s - PATIENCE.dead_s == HERE_PERIOD_S - PERIOD_S
    assert later.start_s == PATIENCE.start_s


@pytest.mark.parametrize(("period_s", "patience"), [(PERIOD_S, PATIENCE), (HERE_PERIOD_S, PATIENCE.at_period(2.0))])
def test_an_answer_within_a_second_is_soon_enough_at_either_period(period_s: float, patience: Patience) -> None:
    watch = Watch()
    watch.tell(Begun(role="miner-0", patience=patience, key=public_key("miner-0")))
    for _ in range(5):
        question = watch.ask()
        watch.pass_s(0.75)
        watch.take(beat(question))
        watch.pass_s(period_s - 0.75)
    assert watch.said == [Heard(role="miner-0", pid=7)]
    watch.pass_s(patience.silent_s - (period_s - 0.75) + TICK_S)
    assert watch.said[1:] == [FellSilent(role="miner-0")]
