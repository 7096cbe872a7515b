"""What `submit` and `demo` share: who pays, following a job, and the words about how it ended."""

import typer

from cluster.api.client import GatewayClient
from cluster.cli.output import clean, note, say
from cluster.cli.progress import describe_training, open_display, training
from cluster.client.watching import watch_job
from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.views import JobView
from cluster.wallet.keystore import client_keystore
from cluster.wallet.names import CLIENT_KEY
from consensus.crypto.keys import SecretKey


def load_payer(home: HomeLayout, name: str) -> SecretKey:
    """The key that pays. The usual one is made on first use, so that free jobs need no preparation."""
    keystore = client_keystore(home)
    return keystore.load_or_create(name) if name == CLIENT_KEY else keystore.load(name)


def follow_job(client: GatewayClient, job: JobView, as_json: bool) -> JobView:
    """Show a job's training and return its last view. Ctrl-C ends the watching, not the job."""
    try:
        with open_display(as_json) as display:
            return watch_job(client, job.job_id, training(display))
    except KeyboardInterrupt:
        if not as_json:
            note(f"the job goes on: pouw status {job.job_id[:12]}, pouw cancel {job.job_id[:12]}")
        raise


def print_submitted(job: JobView) -> None:
    """A job that was submitted, or how it ended."""
    say(f"{clean(job.name)}  {job.job_id}")
    say(clean(describe_training(job)))
    if job.state_digest:
        say(f"state digest {job.state_digest}")
    if job.state == "queued":
        say(f"watch it: pouw status {job.job_id[:12]}")


def check_completed(job: JobView) -> None:
    """Turn an end that is no success into the exit code for it."""
    if job.state != "completed":
        raise typer.Exit(ExitCode.FAILED)
