"""Which job is meant: its id, the beginning of it, or its name when only one job has that name."""

import re
from typing import Final

from cluster.api.client import GatewayClient
from cluster.client.connection import connect
from cluster.config import HomeLayout
from cluster.errors import ConflictError, UnreachableError, UsageError
from cluster.job_names import match_job
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
    return match_job(client.status().jobs, text)


def find_finished(client: GatewayClient, text: str) -> tuple[str, str]:
    """Id and state digest of a completed job.

    Raises:
        ConflictError: it has not completed.
    """
    job = find_job(client, text)
    if job.state != "completed" or job.state_digest is None:
        raise ConflictError(
            f"job {job.job_id[:_SHORT]} is {job.state}, there are no final weights",
            hint="weights can be fetched when the job has completed: pouw status",
            code="not-completed",
        )
    return job.job_id, job.state_digest


def resolve_job_id(home: HomeLayout, text: str) -> str:
    """The whole id of a job. A whole one is taken as it is, so that nothing has to answer.

    Raises:
        UsageError: not a whole id, and no site answers that could complete it.
    """
    if is_job_id(text):
        return text
    try:
        return find_job(connect(home), text).job_id
    except UnreachableError as error:
        raise UsageError(
            f"while the site is down, {text!r} cannot be completed to a job's id",
            hint="give all 64 digits of the id",
            code="job-id",
        ) from error
