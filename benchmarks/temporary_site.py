"""A real site in a home of its own, started as `pouw up` does and used through the real client; gone at the end."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.api.client import GatewayClient
from cluster.cli.starting import ask_to_stop
from cluster.client.connection import connect
from cluster.client.submission import submit_job
from cluster.config import HomeLayout
from cluster.launch.down import stop_site
from cluster.launch.up import start_site
from cluster.logs import read_logs
from cluster.settings import SiteSettings
from cluster.views import JobView, LogQuery
from cluster.wallet.keystore import client_keystore
from cluster.wallet.names import CLIENT_KEY
from jobs.spec.job import JobSpec

_POLL_S: Final = 0.2
_RUNNING_S: Final = 120.0
_LOG_LINES: Final = 40


@contextmanager
def temporary_home() -> Iterator[HomeLayout]:
    """A home that is removed at the end."""
    folder = tempfile.mkdtemp(prefix="pouw-bench-")
    try:
        yield HomeLayout(root=Path(folder, "home"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Site:
    """A site that is up."""

    home: HomeLayout
    client: GatewayClient

    def submit(self, spec: JobSpec) -> str:
        """Submit a job; returns its id."""
        signer = client_keystore(self.home).load_or_create(CLIENT_KEY)
        return submit_job(self.client, signer, spec, _Silent()).job_id

    def job(self, job_id: str) -> JobView:
        """The job as it is now."""
        return self.client.status(job_id).jobs[0]

    def wait_for(self, job_id: str, is_there: Callable[[JobView], bool], timeout_s: float = _RUNNING_S) -> JobView:
        """The job once a condition holds. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            job = self.job(job_id)
            if is_there(job):
                return job
            if job.state in ("failed", "cancelled", "completed") or time.monotonic() > deadline:
                raise TimeoutError(f"the job is {job.state} in round {job.round}: {job.reason}")
            time.sleep(_POLL_S)


@contextmanager
def running_site(home: HomeLayout, settings: SiteSettings) -> Iterator[Site]:
    """The site of `home`, stopped at the end whatever happens. After a failure its last log lines go to stderr."""
    try:
        start_site(home, settings)
        yield Site(home, connect(home, {}))
    except Exception:
        for line in read_logs(home, LogQuery(), _LOG_LINES):
            print(f"  {line.time} {line.role} {line.level}: {line.message}", file=sys.stderr)
        raise
    finally:
        stop_site(home, ask_to_stop(home))


class _Silent:
    """Watches a submission without a word."""

    def preparing(self, what: str, rows: int) -> None:
        pass

    def uploading(self, done_bytes: int, total_bytes: int) -> None:
        pass
