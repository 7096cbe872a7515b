"""Detached background processes: started in their own session, waited for, and ended as a whole group."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cluster.config import ProcessMark
from cluster.secret_file import PRIVATE_FILE

POLL_S: Final = 0.05
_TAIL_BYTES: Final = 64 * 1024


class DetachedProcess:
    """A process that is meant to outlive this one. Nobody has to wait for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        """Exit status, once `has_ended` has seen it: negative numbers are signals."""

    def has_ended(self) -> bool:
        """Whether it has ended; if so, its status is known from then on."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is not None


def spawn_detached(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> DetachedProcess:
    """Start a process in its own session, without input, with its output appended to `log`.

    `command` starts with the path of a program. `environment` is added to this process's own.
    """
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    everything = {**os.environ, **environment}
    return DetachedProcess(os.posix_spawn(command[0], list(command), everything, file_actions=files, setsid=True))


def wait_until(condition: Callable[[], bool], timeout_s: float, tick: Callable[[], None] | None = None) -> bool:
    """Whether `condition` came true within `timeout_s`. `tick` is called while waiting."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        if tick is not None:
            tick()
        time.sleep(POLL_S)
    return True


def terminate(mark: ProcessMark) -> None:
    """Ask this very process to end; nothing happens if it has ended."""
    if mark.is_alive:
        os.kill(mark.pid, signal.SIGTERM)


def kill_group(mark: ProcessMark) -> None:
    """End the process and all of its group at once. The group must be its own, else only the process is ended."""
    if not mark.is_alive:
        return
    if os.getpgid(mark.pid) == mark.pid:
        os.killpg(mark.pid, signal.SIGKILL)
    else:
        os.kill(mark.pid, signal.SIGKILL)


def end_process(mark: ProcessMark, timeout_s: float) -> None:
    """Ask this very process to end, and end its group if it has not within `timeout_s`."""
    terminate(mark)
    if not wait_until(lambda: not mark.is_alive, timeout_s):
        kill_group(mark)


def last_lines(log: Path, start: int, count: int = 12) -> str:
    """The last lines that were written to `log` after byte `start`."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-count:])
