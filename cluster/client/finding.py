"""Which job is meant: its id, the beginning of it, or its name when only one job has that name."""

import re
from typing import Final

from cluster.api.client import GatewayClient
from cluster.errors import NotFoundError, UsageError
from cluster.views import JobView

_JOB_ID: Final = re.compile(r"[0-9a-f]{64}")
_SHORT: Final = 12


def is_job_id(text: str) -> bool:
    """Whether this is a whole job id."""
    return _JOB_ID.fullmatch(text) is not None


def find_job(client: GatewayClient, text: str) -> JobView:
    """The job that `text` names.

    Raises:
        NotFoundError: no job of that id or name.
        UsageError: several jobs fit.
    """
    if is_job_id(text):
        jobs = client.status(text).jobs
        matches = [job for job in jobs if job.job_id == text]
    else:
        jobs = client.status().jobs
        matches = [job for job in jobs if job.job_id.startswith(text)] or [job for job in jobs if job.name == text]
    if not matches:
        raise NotFoundError(f"there is no job {text!r}", hint="list them with: pouw jobs", code="no-job")
    if len(matches) > 1:
        listed = ", ".join(job.job_id[:_SHORT] for job in matches)
        raise UsageError(f"{len(matches)} jobs fit {text!r}: {listed}", hint="give more of the id", code="ambiguous")
    return matches[0]
