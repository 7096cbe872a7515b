"""Which slots are audited."""

from consensus.replay.sampling import is_sampled
from tests.kit.work import word

BEACON, JOB = word("beacon"), word("job")


def drawn(audit_ppm: int, slots: int = 2_000) -> list[int]:
    return [slot for slot in range(slots) if is_sampled(BEACON, JOB, 3, slot, audit_ppm)]


def test_draws_none_and_all_at_the_ends() -> None:
    assert drawn(0) == []
    assert len(drawn(1_000_000)) == 2_000


def test_draws_about_the_share_that_is_asked_for() -> None:
    assert 60 < len(drawn(50_000)) < 140


def test_draws_more_by_adding_to_the_draw() -> None:
    assert set(drawn(50_000)) < set(drawn(200_000))


def test_depends_on_beacon_job_and_round() -> None:
    other = [slot for slot in range(2_000) if is_sampled(word("other"), JOB, 3, slot, 500_000)]
    later = [slot for slot in range(2_000) if is_sampled(BEACON, JOB, 4, slot, 500_000)]
    another = [slot for slot in range(2_000) if is_sampled(BEACON, word("another"), 3, slot, 500_000)]
    assert len({tuple(drawn(500_000)), tuple(other), tuple(later), tuple(another)}) == 4
