"""Commands about kept artifacts: storage status, deals, providers, probe, drain, close."""

from typing import Annotated

import typer

from cluster.cli.options import AsJson, KeyName, examples, help_when_alone
from cluster.cli.output import say, show
from cluster.config import home_from_environment
from cluster.wallet.names import CLIENT_KEY

STATUS_EXAMPLES = examples("pouw storage status", "pouw storage status --json")
DEALS_EXAMPLES = examples("pouw storage deals")
PROVIDERS_EXAMPLES = examples("pouw storage providers")
PROBE_EXAMPLES = examples("pouw storage probe", "pouw storage probe 3f2a")
DRAIN_EXAMPLES = examples("pouw storage drain 10.0.0.7")
CLOSE_EXAMPLES = examples("pouw storage close 3f2a")

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
