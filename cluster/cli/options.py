"""Options and arguments that several commands share, and the examples at the end of their help."""

from typing import Annotated, TypeAlias

import typer

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
KeyName: TypeAlias = Annotated[str, typer.Option("--key", help="Which of your keys signs.")]
JobName: TypeAlias = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, the beginning of it, or its name if only one has it.")
]


def help_when_alone(context: typer.Context) -> None:
    """A group of commands without a command shows what there is."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def examples(*lines: str) -> str:
    """The end of a command's help."""
    # a line with only a backspace is the sign to keep the line breaks
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
