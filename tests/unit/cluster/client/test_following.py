"""Following jobs and logs: patience with a gateway that is away, and no line twice."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.client.log_tail import follow_logs, new_lines
from cluster.client.watching import PATIENCE_S, watch_job
from cluster.errors import NotFoundError, UnreachableError
from cluster.views import ChainTipView, ClusterView, JobView, LogLine, SiteView

AWAY = UnreachableError("away")


def site(state: str) -> SiteView:
    job = JobView(job_id="j", name="n", state=state, round=0, rounds=1)
    chain = ChainTipView(height=1, tip="")
    return SiteView(cluster=ClusterView(nodes=1, miners=1, supervisors=1), chain=chain, jobs=(job,))


class Script:
    """A client that says what it was given, one after the other, on a clock that a sleep moves."""

    def __init__(self, answers: Sequence[SiteView | Exception]) -> None:
        self.answers, self.now = list(answers), 0.0

    def status(self, _job: str) -> SiteView:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def watch(self) -> list[str]:
        seen: list[str] = []
        watch_job(self, "j", lambda job: seen.append(job.state), clock=lambda: self.now, sleep=self.sleep)
        return seen


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_a_job_is_watched_to_its_end(end: str) -> None:
    assert Script([site("queued"), site("running"), site(end)]).watch() == ["queued", "running", end]


def test_a_gateway_that_is_away_for_a_moment_is_waited_for() -> None:
    assert Script([site("running"), AWAY, AWAY, site("completed")]).watch() == ["running", "completed"]


def test_a_gateway_that_stays_away_is_an_error() -> None:
    script = Script([site("running"), AWAY])
    with pytest.raises(UnreachableError):
        script.watch()
    assert PATIENCE_S < script.now < PATIENCE_S + 2


def test_a_job_that_is_not_there_is_not_found() -> None:
    script = Script([NotFoundError("none")])
    with pytest.raises(NotFoundError):
        script.watch()


def line(number: int) -> LogLine:
    return LogLine(time=str(number), role="r", level="info", message="")


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 60), st.integers(1, 60))
def test_each_line_is_shown_once(old: int, more: int, seen_window: int, window: int) -> None:
    """Of a log that grows, what is new is shown, as long as the window reaches back to what was seen."""
    log = [line(number) for number in range(old + more)]
    seen = log[:old][-seen_window:]
    shown = list(new_lines(seen, log[-window:]))
    if window >= more + min(len(seen), 1):
        assert shown == log[old:] if old else shown == log[-window:]
    else:
        assert shown == log[-window:]


def test_equal_lines_are_told_apart_by_what_is_before_them() -> None:
    seen = [line(1), line(1)]
    assert list(new_lines(seen, [line(1), line(1), line(1)])) in ([line(1)], [])
    assert list(new_lines([line(0), line(1)], [line(0), line(1), line(1)])) == [line(1)]


def test_following_starts_with_the_tail() -> None:
    class Source:
        def __init__(self) -> None:
            self.log = [line(number) for number in range(100)]

        def logs(self, tail: int) -> tuple[LogLine, ...]:
            return tuple(self.log[-tail:])

    source = Source()

    def grow(_seconds: float) -> None:
        source.log += [line(len(source.log)), line(len(source.log) + 1)]

    lines = follow_logs(source.logs, 2, grow)
    assert [next(lines).time for _ in range(6)] == ["98", "99", "100", "101", "102", "103"]
