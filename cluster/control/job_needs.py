"""From what is known of jobs to what they ask of the site: the input of scheduling."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.control.scheduling import JobNeed, derive_value, expected_slot_s
from cluster.credits import parse_credits
from cluster.views import JobView

_STARTED = ("running", "completed", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPulse:
    """What a running job's coordinator tells of it."""

    slot_s: float | None = None
    """Seconds of one miner's work for a slot; None before enough were run."""
    has_work: bool = True
    """Rounds are to be run."""
    is_ready: bool = False
    """It can take miners on."""


def derive_needs(jobs: Sequence[JobView], pulses: Mapping[str, JobPulse]) -> tuple[JobNeed, ...]:
    """The needs of all jobs that have not ended. `jobs` are in the order they came, `pulses` of those started."""
    expected_s = expected_slot_s(pulse.slot_s for pulse in pulses.values() if pulse.slot_s is not None)
    return tuple(
        _need(job, arrival, pulses.get(job.job_id), expected_s, _passed(jobs[arrival + 1 :]))
        for arrival, job in enumerate(jobs)
        if job.state in ("queued", "running")
    )


def _need(job: JobView, arrival: int, pulse: JobPulse | None, expected_s: float, passed: int) -> JobNeed:
    slot_s = pulse.slot_s if pulse is not None and pulse.slot_s is not None else expected_s
    return JobNeed(
        job=job.job_id,
        arrival=arrival,
        least=job.miners_min,
        most=max(job.miners_min, min(job.miners_max, job.slots)),
        value=derive_value(parse_credits(job.reward), job.rounds, job.slots, slot_s),
        is_running=job.state == "running" or pulse is not None,
        has_trained=job.round > 0,
        has_work=pulse is None or pulse.has_work,
        passed=passed,
    )


def _passed(later: Sequence[JobView]) -> int:
    """How many of the jobs that came later were started."""
    return sum(1 for job in later if job.state in _STARTED or (job.state == "cancelled" and job.round > 0))
