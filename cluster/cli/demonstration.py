"""What `pouw demo` does, step by step, with the same functions that the commands use."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cluster.cli.demo_job import load_demo_job
from cluster.cli.output import clean, note
from cluster.cli.progress import SubmitDisplay, counting, open_display, transfer, waiting
from cluster.cli.starting import ask_to_stop
from cluster.cli.submitting import follow_job, load_payer
from cluster.cli.tables import print_table
from cluster.client.connection import connect
from cluster.client.download import FetchView, fetch_weights
from cluster.client.finding import find_finished
from cluster.client.submission import submit_job
from cluster.config import HomeLayout
from cluster.errors import ClusterError
from cluster.launch.down import stop_site
from cluster.launch.up import start_site
from cluster.node.audit import AuditView, VerifyView, audit_job, verify_chain
from cluster.settings import SiteSettings
from cluster.views import JobView, MinerView, View
from cluster.wallet.names import CLIENT_KEY
from jobs.spec.job import JobSpec

_MINERS: Final = 2
_BLOCK_INTERVAL_S: Final = 1.0
_VERIFY_SHARE: Final = 0.02
_AUDIT_SHARE: Final = 0.05


class DemoView(View, frozen=True):
    """What was done and proved."""

    proved: bool
    """The job completed, the chain is valid and every audited slot matched."""
    job: JobView
    miners: tuple[MinerView, ...]
    chain: VerifyView
    audit: AuditView
    weights: FetchView


def run_demo(as_json: bool) -> DemoView:
    """Everything in a home of its own that is removed at the end, whatever happens."""
    spec = load_demo_job()
    with tempfile.TemporaryDirectory(prefix="pouw-demo-", ignore_cleanup_errors=True) as folder:
        home = HomeLayout(root=Path(folder) / "home")
        with _running_site(home, as_json):
            job, miners, weights = _train(home, spec, as_json)
        with open_display(as_json) as display:
            chain = verify_chain(home, _VERIFY_SHARE, counting(display, "verifying", "checked"))
            audit = audit_job(home, job.job_id, _AUDIT_SHARE, counting(display, "auditing", "slots"))
    proved = job.state == "completed" and chain.valid and audit.mismatch == 0 and audit.match > 0
    return DemoView(proved=proved, job=job, miners=miners, chain=chain, audit=audit, weights=weights)


def print_proved(view: DemoView) -> None:
    """The table at the end."""
    job, audit = view.job, view.audit
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(job.metrics.items()))
    verified = sum(miner.slots_verified for miner in view.miners)
    verdict = "valid" if view.chain.valid else "NOT VALID"
    rows = (
        ("job", f"{job.state} after {job.round} of {job.rounds} rounds, {metrics}"),
        ("state digest", job.state_digest or ""),
        ("miners", f"{len(view.miners)}, {verified} slots verified and paid"),
        ("chain", f"{verdict}, {view.chain.blocks_checked} blocks checked, {job.blocks} mined with training steps"),
        (
            "replayed",
            f"{view.chain.slots_replayed} slots of the chain; audit: {audit.match} of {audit.sampled} match",
        ),
        ("weights", f"{view.weights.bytes:,} bytes fetched, their digest is the state digest"),
    )
    print_table(("what", "proved" if view.proved else "NOT proved"), rows)


@contextmanager
def _running_site(home: HomeLayout, as_json: bool) -> Iterator[None]:
    with open_display(as_json) as display:
        start_site(
            home,
            SiteSettings(miners=_MINERS, port=0, block_interval_s=_BLOCK_INTERVAL_S),
            tick=waiting(display, "starting a private site"),
        )
    try:
        yield
    finally:
        with open_display(as_json) as display:
            stop_site(home, ask_to_stop(home), tick=waiting(display, "stopping the site"))


def _train(home: HomeLayout, spec: JobSpec, as_json: bool) -> tuple[JobView, tuple[MinerView, ...], FetchView]:
    client = connect(home, {})
    with open_display(as_json) as display:
        submitted = submit_job(client, load_payer(home, CLIENT_KEY), spec, SubmitDisplay(display))
    job = follow_job(client, submitted, as_json)
    if job.state != "completed":
        for line in () if as_json else client.logs(tail=20):  # the log goes with its folder
            note(f"{line.level} {line.role}: {clean(line.message)}")
        raise ClusterError(f"the demo's job {job.state}: {job.reason}", hint="check this machine with: pouw doctor")
    job_id, digest = find_finished(client, job.job_id)
    with open_display(as_json) as display:
        weights = fetch_weights(client, job_id, digest, home.root / "w.safetensors", transfer(display, "fetching"))
    return job, client.miners(), weights
