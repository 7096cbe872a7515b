"""The gateway's gauges: jobs and miners as they are at this turn."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.actors.coordinator import CoordinatorStatus
from cluster.control.membership import MinerState
from cluster.metrics import JOB_MINERS, JOBS, JOBS_WAITING, MINERS, UNSETTLED_ROUNDS, Meters, job_label
from cluster.views import JobView

_JOB_STATES = ("queued", "running", "completed", "failed", "cancelled")
_CAUSES = ("queue", "miners", "preparation", "audits", "supervisor")


@dataclass(slots=True, kw_only=True)
class SiteMeters:
    """Sets every gauge at every turn, so that what has ended goes back to 0."""

    meters: Meters
    _shown: set[str] = field(default_factory=set)
    """Jobs that have gauges of their own."""

    def measure(
        self, jobs: Sequence[JobView], miners: Iterable[MinerState], statuses: Mapping[str, CoordinatorStatus]
    ) -> None:
        """Note the present state of the site."""
        by_state = Counter(miners)
        for state in MinerState:
            self.meters.set(MINERS, by_state[state], state=state.value)
        of_jobs = Counter(job.state for job in jobs)
        for name in _JOB_STATES:
            self.meters.set(JOBS, of_jobs[name], state=name)
        causes = Counter(waiting_cause(job, statuses.get(job.job_id)) for job in jobs)
        for cause in _CAUSES:
            self.meters.set(JOBS_WAITING, causes[cause], cause=cause)
        self._measure_jobs(jobs, statuses)

    def _measure_jobs(self, jobs: Sequence[JobView], statuses: Mapping[str, CoordinatorStatus]) -> None:
        open_jobs = {job.job_id for job in jobs if job.state == "running"}
        for job in (job for job in jobs if job.job_id in open_jobs | self._shown):
            label, status = job_label(job.job_id), statuses.get(job.job_id)
            self.meters.set(JOB_MINERS, len(status.miners) if status else 0, job=label)
            self.meters.set(UNSETTLED_ROUNDS, job.round - job.rounds_settled, job=label)
        self._shown = open_jobs


def waiting_cause(job: JobView, status: CoordinatorStatus | None) -> str:
    """Why an open job does not train now, in one word; empty if it does or is over."""
    if job.state == "queued":
        return "queue"
    if job.state != "running":
        return ""
    if status is None or not status.is_ready:
        return "preparation"
    if not status.has_work:
        return "audits"
    return status.cause
