"""Detached background processes: started in their own session, waited for, and ended as a whole group."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cluster.config import ProcessMark

POLL_S: Final = 0.05
_TAIL_BYTES: Final = 64 * 1024


def spawn_detached(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one: own session, no input, output appended to `log`.

    `environment` is added to this process's own.
    """
    with log.open("ab") as output:
        log.chmod(0o600)
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )


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


def last_lines(log: Path, start: int, count: int = 12) -> str:
    """The last lines that were written to `log` after byte `start`."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - _TAIL_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-count:])
