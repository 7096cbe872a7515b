"""Which job a person means: by its id, the beginning of it, or its name."""

from collections.abc import Sequence

from cluster.errors import NotFoundError, UsageError
from cluster.views import JobView

_SHORT = 12


def match_job(jobs: Sequence[JobView], text: str) -> JobView:
    """The one job that `text` names.

    Raises:
        NotFoundError: no job of that id or name.
        UsageError: several jobs fit.
    """
    matches = [job for job in jobs if job.job_id.startswith(text)] or [job for job in jobs if job.name == text]
    if not matches:
        raise NotFoundError(f"there is no job {text!r}", hint="list them with: pouw jobs", code="no-job")
    if len(matches) > 1:
        listed = ", ".join(job.job_id[:_SHORT] for job in matches)
        raise UsageError(f"{len(matches)} jobs fit {text!r}: {listed}", hint="give more of the id", code="ambiguous")
    return matches[0]
