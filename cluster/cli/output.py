"""Where words go: results to stdout, everything else to stderr. With `--json`, stdout is one JSON value a line."""

import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from cluster.views import ErrorView

Shown = TypeVar("Shown")


def emit(value: object) -> None:
    """One JSON value on stdout."""
    print(msgspec.json.encode(value).decode(), flush=True)


def show(value: Shown, as_json: bool, render: Callable[[Shown], None]) -> None:
    """The result of a command, for a program or for a person."""
    if as_json:
        emit(value)
    else:
        render(value)


def say(text: str) -> None:
    """A line for a person, on stdout."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line that is not part of the result, on stderr."""
    print(text, file=sys.stderr, flush=True)


def show_error(view: ErrorView, as_json: bool) -> None:
    """What went wrong and what to do next."""
    if as_json:
        emit(view)
        return
    note(f"error: {clean(view.error)}")
    if view.hint:
        note(f"hint: {clean(view.hint)}")


def clean(text: str) -> str:
    """Text of others without control characters, which could rewrite the terminal. Line ends stay."""
    return "".join(each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text)
