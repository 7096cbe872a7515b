"""Commands about kept artifacts: storage status, deals, providers, artifacts, keep, fetch, probe, drain, close."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cluster.cli.options import AsJson, JobName, KeyName, examples, help_when_alone
from cluster.cli.output import say, show
from cluster.config import home_from_environment
from cluster.wallet.names import CLIENT_KEY

STATUS_EXAMPLES = examples("pouw storage status", "pouw storage status --json")
DEALS_EXAMPLES = examples("pouw storage deals")
PROVIDERS_EXAMPLES = examples("pouw storage providers")
PROBE_EXAMPLES = examples("pouw storage probe", "pouw storage probe 3f2a")
DRAIN_EXAMPLES = examples("pouw storage drain 10.0.0.7")
CLOSE_EXAMPLES = examples("pouw storage close 3f2a")
ARTIFACTS_EXAMPLES = examples("pouw storage artifacts digits")
KEEP_EXAMPLES = examples(
    "pouw storage keep digits --replicas 3 --reward 10",
    "pouw storage keep digits --what dataset --data 4 --parity 2",
    "pouw storage keep digits --what checkpoint --round 200",
)
FETCH_EXAMPLES = examples("pouw storage fetch ROOT segment.arrow")

storage = typer.Typer(help="Kept weights and who keeps them.", callback=help_when_alone, invoke_without_command=True)


@storage.command("status", epilog=STATUS_EXAMPLES)
def status(as_json: AsJson = False) -> None:
    """Show what is kept and how it is proved."""
    from cluster.cli.storage_tables import print_storage
    from cluster.client.connection import connect

    show(connect(home_from_environment()).storage(), as_json, print_storage)


@storage.command("deals", epilog=DEALS_EXAMPLES)
def deals(as_json: AsJson = False) -> None:
    """List the deals. Says who keeps which piece, and why one has not all it should have."""
    from cluster.cli.storage_tables import print_deals
    from cluster.client.connection import connect

    show(connect(home_from_environment()).deals(), as_json, print_deals)


@storage.command("providers", epilog=PROVIDERS_EXAMPLES)
def providers(as_json: AsJson = False) -> None:
    """List the storage providers. Says what each was paid for, or why it was not."""
    from cluster.cli.storage_tables import print_providers
    from cluster.client.connection import connect

    show(connect(home_from_environment()).providers(), as_json, print_providers)


@storage.command("artifacts", epilog=ARTIFACTS_EXAMPLES)
def artifacts(job: JobName, as_json: AsJson = False) -> None:
    """List what a job has at the site: weights, checkpoints, dataset segments, and which deals keep them."""
    from cluster.cli.storage_tables import print_artifacts
    from cluster.client.connection import connect
    from cluster.client.finding import find_job

    client = connect(home_from_environment())
    show(client.job_artifacts(find_job(client, job).job_id), as_json, print_artifacts)


@storage.command("keep", epilog=KEEP_EXAMPLES)
def keep(
    job: JobName,
    *,
    what: Annotated[
        Literal["weights", "checkpoint", "dataset"], typer.Option("--what", help="What of the job is to be kept.")
    ] = "weights",
    round_number: Annotated[
        int | None, typer.Option("--round", min=0, help="Of a checkpoint; the last one if none is given.")
    ] = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="Whole copies; 3 if nothing is said.")] = None,
    data: Annotated[int | None, typer.Option(min=2, help="Shards of which any so many are enough.")] = None,
    parity: Annotated[int | None, typer.Option(min=1, help="Shards beyond those.")] = None,
    reward: Annotated[str, typer.Option(help="Credits for all pieces and proofs together.")] = "1",
    proofs: Annotated[int, typer.Option(min=1, help="How often each provider has to prove.")] = 4_320,
    collateral: Annotated[int, typer.Option(min=0, help="Credits a provider loses for a piece it loses.")] = 1,
    key: KeyName = CLIENT_KEY,
    as_json: AsJson = False,
) -> None:
    """Pay storage providers to keep what a job has at the site. Opens a deal for each artifact that is under none."""
    from cluster.cli.progress import counting, open_display
    from cluster.cli.storage_tables import print_kept
    from cluster.client.connection import connect
    from cluster.client.finding import find_job
    from cluster.client.keeping import Order, choose_artifacts, keep_artifacts
    from cluster.wallet.keystore import client_keystore

    home = home_from_environment()
    order = Order.of(replicas=replicas, data=data, parity=parity, reward=reward, proofs=proofs, collateral=collateral)
    client = connect(home)
    job_id = find_job(client, job).job_id
    chosen = choose_artifacts(client.job_artifacts(job_id), what, round_number)
    with open_display(as_json) as display:
        progress = counting(display, "opening deals", "artifacts")
        kept = keep_artifacts(client, client_keystore(home), key, job_id, chosen, order, report=progress)
    show(kept, as_json, print_kept)


@storage.command("fetch", epilog=FETCH_EXAMPLES)
def fetch(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="All 64 digits, as in: pouw storage artifacts --json.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    as_json: AsJson = False,
) -> None:
    """Fetch an artifact as it is, checked. It comes from its providers; run again, it goes on where it was cut."""
    from cluster.cli.progress import open_display, transfer
    from cluster.client.connection import connect
    from cluster.client.download import fetch_artifact

    client = connect(home_from_environment())
    with open_display(as_json) as display:
        view = fetch_artifact(client, root, target, transfer(display, "fetching"))
    show(view, as_json, lambda got: say(f"wrote {got.path} ({got.bytes:,} bytes), root {got.digest} checked"))


@storage.command("probe", epilog=PROBE_EXAMPLES)
def probe(
    deal: Annotated[str, typer.Argument(metavar="[DEAL]", help="Beginning of a deal's id; none: all deals.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask every holder for a chunk. One that does not serve gets a strike on the chain."""
    from cluster.cli.storage_tables import print_probes
    from cluster.client.connection import connect
    from cluster.errors import NotFoundError

    views = connect(home_from_environment()).probe(deal)
    if deal and not views:
        raise NotFoundError(
            f"nobody keeps a piece of a deal whose id begins with {deal!r}",
            hint="list the deals with: pouw storage deals",
        )
    show(views, as_json, print_probes)
    if not all(view.served for view in views):
        raise typer.Exit(1)


@storage.command("drain", epilog=DRAIN_EXAMPLES)
def drain(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Address of the machine, as in: pouw storage providers.")],
    as_json: AsJson = False,
) -> None:
    """Have a machine give away what it keeps. Its pieces go to others first; it is paid until they have them."""
    from cluster.client.connection import connect
    from cluster.views import DrainView

    connect(home_from_environment()).drain_storage(node)
    words = f"{node} takes no more pieces and gives away those it has; watch it with: pouw storage deals"
    show(DrainView(node=node), as_json, lambda _: say(words))


@storage.command("close", epilog=CLOSE_EXAMPLES)
def close(
    deal: Annotated[str, typer.Argument(metavar="DEAL", help="Beginning of the deal's id.")],
    key: KeyName = CLIENT_KEY,
    as_json: AsJson = False,
) -> None:
    """End a deal that you pay for. What is proved is paid; the rest comes back, and providers drop their pieces."""
    from cluster.client.connection import connect
    from cluster.client.payments import close_deal
    from cluster.wallet.keystore import client_keystore

    home = home_from_environment()
    view = close_deal(connect(home), client_keystore(home), key, deal)
    show(view, as_json, lambda closed: say(f"deal {closed.deal_id[:12]} is closed ({closed.transaction})"))


def register(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(storage, name="storage")
