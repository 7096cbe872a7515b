"""The demo command: a whole site, one job and its proof, in a folder that is gone afterwards."""

import typer

from cluster.cli.options import AsJson, examples
from cluster.cli.output import show

DEMO_EXAMPLES = examples("pouw demo", "pouw demo --json")


def demo(as_json: AsJson = False) -> None:
    """Train, verify and audit a small model on a private site.

    Starts a site with two miners in a folder of its own, trains a model of hand-written digits, verifies the chain,
    audits the job, fetches the weights, and removes everything again.
    """
    from cluster.cli.demonstration import print_proved, run_demo

    view = run_demo(as_json)
    show(view, as_json, print_proved)
    if not view.proved:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("demo", epilog=DEMO_EXAMPLES)(demo)
