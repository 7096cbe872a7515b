"""Commands about the chain: chain show, chain verify."""

from typing import Annotated

import typer

from cluster.cli.options import AsJson, examples, help_when_alone
from cluster.cli.output import show
from cluster.config import home_from_environment

SHOW_EXAMPLES = examples("pouw chain show", "pouw chain show --start 1 --count 50", "pouw chain show --json")
VERIFY_EXAMPLES = examples("pouw chain verify", "pouw chain verify --replay 0.05")

chain = typer.Typer(help="The chain: show it, verify it.", callback=help_when_alone, invoke_without_command=True)


@chain.command("show", epilog=SHOW_EXAMPLES)
def show_chain(
    start: Annotated[int | None, typer.Option(min=0, help="First height; the last blocks if left out.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many blocks.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show blocks. Who made them, from which slot of which job, and what they hold."""
    from cluster.cli.tables import print_blocks
    from cluster.client.connection import connect

    client = connect(home_from_environment())
    first = max(client.status().chain.height - count + 1, 1) if start is None else start
    show(client.blocks(first, count), as_json, print_blocks)


@chain.command("verify", epilog=VERIFY_EXAMPLES)
def verify(
    replay: Annotated[float, typer.Option(min=0, max=1, help="Share of the slots to replay as well.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Check the whole stored chain. Replays a share of the work behind it; works while the site is down."""
    from cluster.cli.auditing import print_verified
    from cluster.cli.progress import counting, open_display
    from cluster.node.audit import verify_chain

    with open_display(as_json) as display:
        view = verify_chain(home_from_environment(), replay, counting(display, "verifying", "checked"))
    show(view, as_json, print_verified)
    if not view.valid:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(chain, name="chain")
