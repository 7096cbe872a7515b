"""Commands about jobs: submit, jobs, logs, cancel, fetch, audit."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.cli.options import AsJson, JobName, KeyName, examples
from cluster.cli.output import say, show
from cluster.cli.quick import QuickCommand
from cluster.config import home_from_environment
from cluster.wallet.names import CLIENT_KEY

SUBMIT_EXAMPLES = examples("pouw submit examples/digits.yaml", "pouw submit digits.yaml --wait --json")
JOBS_EXAMPLES = examples("pouw jobs", "pouw jobs --json")
LOGS_EXAMPLES = examples(
    "pouw logs", "pouw logs 3f2a --follow", "pouw logs --role miner --tail 20", "pouw logs 3f2a --round 17 --slot 2"
)
CANCEL_EXAMPLES = examples("pouw cancel 3f2a", "pouw cancel digits")
FETCH_EXAMPLES = examples("pouw fetch 3f2a -o digits.safetensors", "pouw fetch digits -o digits --as checkpoint")
AUDIT_EXAMPLES = examples("pouw audit 3f2a --sample 0.1", "pouw audit 3f2a --sample 1 --json")


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")],
    wait: Annotated[bool, typer.Option("--wait", help="Show the training and return when the job has ended.")] = False,
    key: KeyName = CLIENT_KEY,
    as_json: AsJson = False,
) -> None:
    """Submit a job and pay for it. The data goes first: nothing is paid before all of it is there."""
    from cluster.cli.progress import SubmitDisplay, open_display
    from cluster.cli.submitting import check_completed, follow_job, load_payer, print_submitted
    from cluster.client.connection import connect
    from cluster.client.submission import submit_job
    from jobs.spec.file import load_job_file

    spec, home = load_job_file(file), home_from_environment()
    client = connect(home)
    with open_display(as_json) as display:
        job = submit_job(client, load_payer(home, key), spec, SubmitDisplay(display))
    ended = follow_job(client, job, as_json) if wait else job
    show(ended, as_json, print_submitted)
    if wait:
        check_completed(ended)


def list_jobs(as_json: AsJson = False) -> None:
    """List the jobs."""
    from cluster.cli.tables import print_jobs
    from cluster.client.connection import connect

    show(connect(home_from_environment()).status().jobs, as_json, print_jobs)


def logs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only lines about this job.")] = None,
    *,
    role: Annotated[str | None, typer.Option(help="Only lines of this role, such as miner or miner-0.")] = None,
    round_number: Annotated[int | None, typer.Option("--round", min=0, help="Only lines about this round.")] = None,
    slot: Annotated[int | None, typer.Option(min=0, help="Only lines about this slot.")] = None,
    tail: Annotated[int, typer.Option(min=0, max=10_000, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the site's log. With --json, an array of lines; with --follow too, one object a line."""
    from cluster.cli.output import emit
    from cluster.cli.tables import print_log_line
    from cluster.client.connection import connect
    from cluster.client.finding import find_job
    from cluster.client.log_tail import follow_logs
    from cluster.views import LogQuery

    client = connect(home_from_environment())
    job_id = find_job(client, job).job_id if job else None
    query = LogQuery(job=job_id, role=role, round=round_number, slot=slot)
    if follow:
        for line in follow_logs(partial(client.logs, query), tail):
            show(line, as_json, print_log_line)
    elif as_json:
        emit(client.logs(query, tail))
    else:
        for line in client.logs(query, tail):
            print_log_line(line)


def cancel(job: JobName, key: KeyName = CLIENT_KEY, as_json: AsJson = False) -> None:
    """Stop a job. What was trained and checked so far is paid, the rest comes back."""
    from cluster.client.connection import connect
    from cluster.client.finding import find_job
    from cluster.client.payments import cancel_job
    from cluster.wallet.keystore import client_keystore

    home = home_from_environment()
    client = connect(home)
    view = cancel_job(client, client_keystore(home), key, find_job(client, job).job_id)
    show(view, as_json, lambda _: say(f"job {view.job_id[:12]} will be cancelled by the next block"))


def fetch(
    job: JobName,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="F.safetensors", help="Where to write them.")],
    *,
    form: Annotated[
        Literal["safetensors", "checkpoint"], typer.Option("--as", help="One file, or a folder for Ray Train.")
    ] = "safetensors",
    site_copy: Annotated[
        bool, typer.Option("--site-copy", help="The site's own copy, not that of the storage providers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a job's weights, checked. Writes a safetensors file whose state digest is the chain's, or nothing.

    They come from the storage providers that keep them, from several at once. Run again, it goes on where it was cut.
    """
    from cluster.cli.progress import open_display, transfer
    from cluster.client.connection import connect
    from cluster.client.download import fetch_weights
    from cluster.client.finding import find_finished

    client = connect(home_from_environment())
    job_id, digest = find_finished(client, job)
    with open_display(as_json) as display:
        view = fetch_weights(
            client, job_id, digest, output, transfer(display, "fetching"), form=form, site_copy=site_copy
        )
    show(view, as_json, lambda got: say(f"wrote {got.path} ({got.bytes:,} bytes), state digest {got.digest} checked"))


def audit(
    job: JobName,
    sample: Annotated[float, typer.Option(min=0, max=1, help="Share of the slots to replay.")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Replay a share of a job's slots. Compares every digest with the stored chain; works while the site is down."""
    from cluster.cli.auditing import print_audit
    from cluster.cli.progress import counting, open_display
    from cluster.client.finding import resolve_job_id
    from cluster.node.audit import audit_job

    home = home_from_environment()
    job_id = resolve_job_id(home, job)
    with open_display(as_json) as display:
        view = audit_job(home, job_id, sample, counting(display, "replaying", "slots"))
    show(view, as_json, print_audit)
    if view.mismatch:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("submit", epilog=SUBMIT_EXAMPLES)(submit)
    app.command("jobs", cls=QuickCommand, epilog=JOBS_EXAMPLES)(list_jobs)
    app.command("logs", epilog=LOGS_EXAMPLES)(logs)
    app.command("cancel", epilog=CANCEL_EXAMPLES)(cancel)
    app.command("fetch", epilog=FETCH_EXAMPLES)(fetch)
    app.command("audit", epilog=AUDIT_EXAMPLES)(audit)
