"""How far things are, on stderr: bars on a terminal, a line now and then elsewhere, nothing when a program listens.

rich is imported only when there is a terminal to draw on.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from cluster.cli.output import clean, note
from cluster.views import JobView

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S: Final = 5.0
_MEGABYTE: Final = 1_000_000


class Display(Protocol):
    """Shows several named things on their way."""

    def update(self, name: str, done: int, total: int | None, words: str) -> None:
        """`total` is None when nobody knows how much there will be."""
        ...


class Silence:
    """Shows nothing."""

    def update(self, name: str, done: int, total: int | None, words: str) -> None:  # noqa: ARG002 - the protocol's
        return None


class Lines:
    """A line for the first news of a thing, then one every few seconds, then one when it is done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, write: Callable[[str], None] = note) -> None:
        self._clock, self._write = clock, write
        self._written: dict[str, float] = {}
        self._finished: set[str] = set()

    def update(self, name: str, done: int, total: int | None, words: str) -> None:
        is_done = total is not None and done >= total
        is_news = is_done and name not in self._finished
        last = self._written.get(name)
        if is_news or (not is_done and (last is None or self._clock() - last >= LINE_EVERY_S)):
            self._write(f"{name}: {clean(words)}" if words else name)
            self._written[name] = self._clock()
        if is_done:
            self._finished.add(name)


class Bars:
    """One bar a thing."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def update(self, name: str, done: int, total: int | None, words: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, words="")
        self._progress.update(self._tasks[name], completed=done, total=total, words=clean(words))


@contextmanager
def open_display(as_json: bool) -> Iterator[Display]:
    """The display that fits where stderr goes."""
    if not _is_terminal():
        yield Silence() if as_json else Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    plain = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[words]}", markup=False)
    columns = (SpinnerColumn(), plain[0], BarColumn(bar_width=24), TimeElapsedColumn(), plain[1])
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def waiting(display: Display, name: str) -> Callable[[], None]:
    """To be called while waiting for something of unknown length."""
    started = time.monotonic()

    def tick() -> None:
        seconds = int(time.monotonic() - started)
        display.update(name, 0, None, f"{seconds} s" if seconds else "")

    return tick


def transfer(display: Display, name: str) -> Callable[[int, int], None]:
    """To be told (bytes so far, bytes in all)."""

    def report(done: int, total: int) -> None:
        display.update(name, done, total, f"{done / _MEGABYTE:,.1f} of {total / _MEGABYTE:,.1f} MB")

    return report


def counting(display: Display, name: str, unit: str) -> Callable[[int, int], None]:
    """To be told (things so far, things in all)."""

    def report(done: int, total: int) -> None:
        display.update(name, done, total, f"{done:,} of {total:,} {unit}")

    return report


def training(display: Display) -> Callable[[JobView], None]:
    """To be told how a job is doing."""

    def report(job: JobView) -> None:
        display.update(clean(job.name), job.round, max(job.rounds, 1), describe_training(job))

    return report


def describe_training(job: JobView) -> str:
    """One line: state, round, loss, metrics, blocks and speed, as far as known."""
    words = [job.state, f"round {job.round:,}/{job.rounds:,}"]
    words += [f"loss {job.loss:.4f}"] if job.loss is not None else []
    words += [f"{metric_label(name)} {value:.4f}" for name, value in sorted(job.metrics.items())]
    words += [f"{job.blocks:,} blocks"]
    words += [f"{job.miners} miners"] if job.state == "running" else []
    words += [f"{job.samples_per_s:,.0f} samples/s"] if job.samples_per_s is not None else []
    words += [job.reason] if job.reason else []
    return "  ".join(words)


def metric_label(name: str) -> str:
    """How a metric is called beside the training loss, which has its plain name."""
    return "validation loss" if name == "loss" else name.replace("_", " ")


class SubmitDisplay:
    """Shows a submission: rows that are read, then bytes that are uploaded."""

    def __init__(self, display: Display) -> None:
        self._display, self._is_uploading = display, False

    def preparing(self, what: str, rows: int) -> None:
        if not self._is_uploading:  # while uploading, the data is gone through once more: the bytes say it better
            self._display.update(f"data: {what}", rows, None, f"{rows:,} rows")

    def uploading(self, done_bytes: int, total_bytes: int) -> None:
        self._is_uploading = True
        transfer(self._display, "uploading")(done_bytes, total_bytes)
