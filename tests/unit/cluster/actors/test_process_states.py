"""What the watch sees of a process on its own machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from cluster.actors.vigil import ENDED, STOPPED, process_state


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def await_state(pid: int, *states: str) -> bool:
    """Whether a process comes to one of these states within five seconds."""
    for _ in range(500):
        if process_state(pid) in states:
            return True
        time.sleep(0.01)
    return False


def test_a_running_process_has_neither_ended_nor_been_stopped() -> None:
    assert process_state(os.getpid()) not in (STOPPED, *ENDED)


def test_a_process_that_a_signal_has_stopped(sleeper: "subprocess.Popen[bytes]") -> None:
    sleeper.send_signal(signal.SIGSTOP)
    assert await_state(sleeper.pid, STOPPED)
    sleeper.send_signal(signal.SIGCONT)
    assert await_state(sleeper.pid, "S", "R")


def test_a_process_that_nobody_has_waited_for_has_ended(sleeper: "subprocess.Popen[bytes]") -> None:
    sleeper.kill()
    assert await_state(sleeper.pid, *ENDED)
    sleeper.wait()
    assert process_state(sleeper.pid) == ""
    assert "" in ENDED
