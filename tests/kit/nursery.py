"""Writers that are killed at chosen instants: one process imports everything once and forks them, one after the other.

The writers' module calls `serve` when it is run; the test holds a `Nursery`. What a writer says comes after the call it
speaks of has returned, so whatever was said is safe, and has to be there afterwards.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
START_S = 60.0


class Nursery:
    """The test's end."""

    def __init__(self, module: str, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", module]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()

    def run_and_kill(self, run: int, delay_s: float, *, has_started: bool) -> list[str]:
        """Start a writer and kill it after a time, which begins when it has said something if `has_started`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.folder} {run}\n")
        writer, said = int(self.process.stdout.readline()), self.folder / f"said-{run}"
        deadline = time.monotonic() + START_S
        while has_started and not (said.exists() and said.stat().st_size):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(delay_s)
        with suppress(ProcessLookupError):
            os.kill(writer, signal.SIGKILL)
        assert int(self.process.stdout.readline()) == signal.SIGKILL, "the writer died of something else"
        text = said.read_text() if said.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()


def serve(write: Callable[[Path, int], None]) -> None:
    """Fork a writer for every line `folder run` of the standard input; say its process, and how it died."""
    for line in sys.stdin:
        folder, run = line.split()
        process = _fork(write, Path(folder), int(run))
        say(str(process))
        _, status = os.waitpid(process, 0)
        say(str(-os.waitstatus_to_exitcode(status)))


def say(line: str) -> None:
    """At once, and in one piece."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _fork(write: Callable[[Path, int], None], folder: Path, run: int) -> int:
    process = os.fork()
    if process:
        return process
    said = os.open(folder / f"said-{run}", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(said, sys.stdout.fileno())
    try:
        write(folder, run)
    except BaseException:  # noqa: BLE001 - the last word of a process that was not killed
        traceback.print_exc()
    finally:
        os._exit(1)
