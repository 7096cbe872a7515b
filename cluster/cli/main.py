"""The `pouw` command. Commands import what they need when they run, so that `pouw --help` needs next to nothing."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer

from cluster.cli import chain, demo, jobs, miners, site, storage, version, wallet
from cluster.cli.failures import INTERRUPTED, describe
from cluster.cli.options import examples, help_when_alone
from cluster.cli.output import show_error
from cluster.cli.quick import QuickGroup
from cluster.errors import ExitCode

_GROUPS: Final = (demo, site, jobs, miners, chain, storage, wallet, version)
_COMPLETING: Final = "_POUW_COMPLETE"
_ABOUT: Final = "Train models on machines that nobody has to trust: steps can be replayed, blocks are real work."
_START: Final = examples(
    "pouw demo", "pouw up && pouw submit examples/digits.yaml --wait && pouw down", "pouw COMMAND --help"
)


def start(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Runs before every command."""
    if show_version:
        print(version.package_version())
    else:
        help_when_alone(context)


def build_app(completion: bool) -> typer.Typer:
    """All commands. `completion`: with the options that install shell completion.

    They are left out where nobody asks for them: typer imports pydantic to read them, which takes a third of what
    `pouw status` may take in all.
    """
    app = typer.Typer(
        name="pouw",
        cls=QuickGroup,
        help=_ABOUT,
        epilog=_START,
        callback=start,
        invoke_without_command=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for group in _GROUPS:
        group.register(app)
    return app


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run one command and return its exit code (cluster.errors.ExitCode). Never raises, never prints a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    completion = _COMPLETING in environment or not given or given[0].startswith("-")
    try:
        outcome = build_app(completion)(args=given, prog_name="pouw", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: everything becomes words and a code
        view, code = describe(error)
        show_error(view, as_json)
        return int(code)
    status = outcome if isinstance(outcome, int) else int(ExitCode.OK)
    if status == ExitCode.INTERRUPTED:
        show_error(INTERRUPTED, as_json)
    return status


if __name__ == "__main__":
    sys.exit(main())
