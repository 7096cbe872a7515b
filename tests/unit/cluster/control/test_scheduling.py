"""Which jobs have a coordinator."""

from cluster.control.scheduling import choose_jobs
from cluster.views import JobView


def job(name: str, state: str) -> JobView:
    return JobView(job_id=name, name=name, state=state, round=0, rounds=1)


def test_the_first_queued_job_starts() -> None:
    first, second = job("a", "queued"), job("b", "queued")
    assert choose_jobs([job("x", "completed"), first, second]) == (first,)


def test_a_queued_job_waits_for_the_running_one() -> None:
    running = job("b", "running")
    assert choose_jobs([job("a", "queued"), running]) == (running,)


def test_every_started_job_keeps_its_coordinator() -> None:
    jobs = [job("a", "running"), job("b", "running")]
    assert choose_jobs(jobs) == tuple(jobs)


def test_nothing_runs_when_all_is_over() -> None:
    assert choose_jobs([job("a", "failed"), job("b", "cancelled")]) == ()
