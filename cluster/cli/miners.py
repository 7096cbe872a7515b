"""Commands about miners: miners, scale."""

from typing import Annotated

import typer

from cluster.cli.options import AsJson, examples
from cluster.cli.output import say, show
from cluster.cli.quick import QuickCommand
from cluster.config import home_from_environment

MINERS_EXAMPLES = examples("pouw miners", "pouw miners --json")
SCALE_EXAMPLES = examples("pouw scale 4", "pouw scale 1 --json")


def miners(as_json: AsJson = False) -> None:
    """List the miners. Says where they run, what they have earned, and why one is idle or unpaid."""
    from cluster.cli.tables import print_miners
    from cluster.client.connection import connect

    show(connect(home_from_environment()).miners(), as_json, print_miners)


def scale(
    count: Annotated[int, typer.Argument(metavar="N", help="How many miners there should be, at least 1.")],
    as_json: AsJson = False,
) -> None:
    """Set the number of miners. New ones join the running jobs; those that leave finish their slot first."""
    from cluster.client.connection import connect
    from cluster.control.capacity import check_count

    check_count(count)
    view = connect(home_from_environment()).scale(count)
    words = f"{view.running} of {view.desired} miners are running"
    leaving = f", {view.draining} are leaving" if view.draining else ""
    show(view, as_json, lambda _: say(words + leaving))


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("miners", cls=QuickCommand, epilog=MINERS_EXAMPLES)(miners)
    signed = {"ignore_unknown_options": True}  # so that -3 is a number and not an option
    app.command("scale", epilog=SCALE_EXAMPLES, context_settings=signed)(scale)
