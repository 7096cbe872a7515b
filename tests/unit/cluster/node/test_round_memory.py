"""Small books beside the chain: round history, tallies, the progress meter, what a round came to."""

import pytest

from cluster.node.progress import ProgressMeter
from cluster.node.round_history import RoundHistory
from consensus.records.work import Metric, SlotCommit
from jobs.float_bits import bits_value, float_bits
from tests.kit.genesis import public_key
from tests.kit.hashed_training import make_plan
from tests.kit.work import word

JOB = word("job")
ANNA, BELA = public_key("anna"), public_key("bela")


def slots(*reports: tuple[bytes, str]) -> list[SlotCommit]:
    return [SlotCommit(miner=miner, report=word(report)) for miner, report in reports]


def test_knows_start_states_of_committed_rounds_and_of_the_next() -> None:
    history = RoundHistory()
    history.add(JOB, 0, word(0), word(1), slots((ANNA, "a")))
    assert history.is_start_state(JOB, 0, word(0))
    assert history.is_start_state(JOB, 1, word(1))
    assert not history.is_start_state(JOB, 1, word(0))
    assert not history.is_start_state(JOB, 2, word(2))
    assert not history.is_start_state(word("other"), 0, word(0))


def test_a_rewind_forgets_states_and_keeps_what_was_committed_to() -> None:
    history = RoundHistory()
    history.add(JOB, 0, word(0), word("forged"), slots((ANNA, "a")))
    history.rewind(JOB, 0)
    assert history.is_start_state(JOB, 0, word(0))
    assert not history.is_start_state(JOB, 1, word("forged"))
    history.add(JOB, 0, word(0), word(1), slots((ANNA, "again")))
    assert history.commitments(JOB, 0, ANNA) == {word("a"), word("again")}


def test_a_miner_commits_with_its_first_slot() -> None:
    history = RoundHistory()
    history.add(JOB, 0, word(0), word(1), slots((BELA, "x"), (ANNA, "a"), (ANNA, "b")))
    assert history.commitments(JOB, 0, ANNA) == {word("a")}
    assert history.commitments(JOB, 0, public_key("carl")) == {None}
    assert history.commitments(JOB, 1, ANNA) == frozenset()


def test_old_rounds_and_closed_jobs_are_forgotten() -> None:
    history = RoundHistory(kept_rounds=2)
    for number in range(4):
        history.add(JOB, number, word(number), word(number + 1), slots((ANNA, str(number))))
    assert not history.is_start_state(JOB, 1, word(1))
    assert history.commitments(JOB, 1, ANNA) == frozenset()
    assert history.is_start_state(JOB, 2, word(2))
    history.close(JOB)
    history.close(JOB)
    assert history == RoundHistory(kept_rounds=2)


def test_the_meter_gives_speed_over_a_window() -> None:
    meter = ProgressMeter(plan=make_plan(examples_per_round=100))
    assert meter.samples_per_s is None
    meter.round_finished(0.0, 1.0, ())
    assert meter.samples_per_s is None
    meter.round_finished(2.0, 0.5, (Metric(name="accuracy", value=1, scale=4),))
    assert meter.samples_per_s == pytest.approx(50.0)
    assert (meter.loss, meter.metrics) == (0.5, {"accuracy": 0.25})
    for second in range(20, 40):
        meter.round_finished(float(second), 0.5, ())
    assert meter.samples_per_s == pytest.approx(100.0)


def test_rounds_in_no_time_have_no_speed() -> None:
    meter = ProgressMeter(plan=make_plan())
    meter.round_finished(1.0, 1.0, ())
    meter.round_finished(1.0, 1.0, ())
    assert meter.samples_per_s is None


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 0.10000000149011612])
def test_losses_keep_their_bits(value: float) -> None:
    assert bits_value(float_bits(value)) == value
