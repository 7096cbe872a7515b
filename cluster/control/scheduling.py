"""Which jobs run now. One at a time, in the order they came: the others wait, and see for whom."""

from collections.abc import Sequence

from cluster.views import JobView


def choose_jobs(jobs: Sequence[JobView]) -> tuple[JobView, ...]:
    """The jobs that should have a coordinator. `jobs` are in the order they came.

    A job that was started stays until it is closed, so that its last rounds can still be audited.
    """
    running = tuple(job for job in jobs if job.state == "running")
    if running:
        return running
    return tuple(job for job in jobs if job.state == "queued")[:1]
