"""Follow a job to its end. A gateway that is away for a moment is waited for; one that stays away is an error."""

import time
from collections.abc import Callable
from typing import Final

from cluster.api.client import GatewayClient
from cluster.errors import NotFoundError, UnreachableError
from cluster.views import JobView

POLL_S: Final = 0.5
PATIENCE_S: Final = 30.0
"""How long the gateway may be away, for example while it restarts."""
ENDED: Final = frozenset({"completed", "failed", "cancelled"})


def watch_job(
    client: GatewayClient,
    job_id: str,
    show: Callable[[JobView], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> JobView:
    """Call `show` with what the job looks like now and then, and return its last view when it has ended.

    Raises:
        NotFoundError: there is no such job.
        UnreachableError: the site did not answer for half a minute.
    """
    heard_at = clock()
    while True:
        try:
            job = _load(client, job_id)
            heard_at = clock()
            show(job)
            if job.state in ENDED:
                return job
        except UnreachableError:
            if clock() - heard_at > PATIENCE_S:
                raise
        sleep(POLL_S)


def _load(client: GatewayClient, job_id: str) -> JobView:
    for job in client.status(job_id).jobs:
        if job.job_id == job_id:
            return job
    raise NotFoundError(f"there is no job {job_id}", hint="list them with: pouw jobs", code="no-job")
