"""The `pouw` command. Commands import what they need when they run, so that `pouw --help` needs next to nothing."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cluster.cli import chain, demo, jobs, miners, site, version, wallet
from cluster.cli.failures import INTERRUPTED, describe
from cluster.cli.options import examples
from cluster.cli.output import show_error
from cluster.errors import ExitCode

START = examples("pouw demo", "pouw up && pouw submit examples/digits.yaml --wait && pouw down", "pouw COMMAND --help")

app = typer.Typer(
    name="pouw",
    help="Train models on machines that nobody has to trust: every step is replayable, every block stands for work.",
    epilog=START,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (demo, site, jobs, miners, chain, wallet, version):
    group.register(app)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Runs before every command."""
    if show_version:
        print(version.package_version())
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (cluster.errors.ExitCode). Never raises, never prints a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    try:
        outcome = app(args=given, prog_name="pouw", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: everything becomes words and a code
        view, code = describe(error)
        show_error(view, as_json)
        return int(code)
    code = outcome if isinstance(outcome, int) else int(ExitCode.OK)
    if code == ExitCode.INTERRUPTED:
        show_error(INTERRUPTED, as_json)
    return code


if __name__ == "__main__":
    sys.exit(main())
