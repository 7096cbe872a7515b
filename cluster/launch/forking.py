"""Having Ray take its workers from a fork server. Ray composes their command with the path of its own Python."""

import contextlib
import importlib.util
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cluster.launch import worker_program
from cluster.launch.worker_program import WORKER

SERVER_MODULE: Final = "cluster.launch.fork_server"
RAY_FOLDER: Final = "r"
"""Within the private folder, since Ray lets everybody write to its own. Short: sockets have short names."""
_EXECUTABLE: Final = 0o700
_BACKLOG: Final = 128
_ENDED_S: Final = 5.0


@contextlib.contextmanager
def fork_server(folder: Path, worker: Path | None = None) -> Iterator[Path]:
    """Runs a fork server and yields the program that Ray is to run as Python.

    `folder` has to be this user's alone: whoever can replace what is in it decides what Ray runs. `worker`: the program
    that is forked, Ray's own if it is left out.
    """
    server = folder / "fork-server"
    program = folder / "python"
    program.write_text(_program(server))
    program.chmod(_EXECUTABLE)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(server))
        listener.listen(_BACKLOG)  # whoever asks while everything loads waits
        command = [sys.executable, "-P", "-m", SERVER_MODULE, "--listener", str(listener.fileno())]
        command += ["--program", str(worker or _ray_worker()), str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
    try:
        yield program
    finally:
        if process.stdin is not None:
            process.stdin.close()  # as it does when this process is killed
        try:
            process.wait(_ENDED_S)
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def workers_of(program: Path) -> Iterator[None]:
    """A raylet that is started within has its workers run by `program`."""
    python = sys.executable
    sys.executable = str(program)
    try:
        yield
    finally:
        sys.executable = python


def _ray_worker() -> Path:
    """Ray's program of a worker, without importing Ray."""
    found = importlib.util.find_spec("ray")
    assert found is not None  # noqa: S101 - a dependency of this package
    assert found.origin is not None  # noqa: S101
    return Path(found.origin).parent / "_private" / "workers" / WORKER


def _program(server: Path) -> str:
    """A script, since the first line of one that names its interpreter has a longest length and no quotes."""
    command = [sys.executable, "-I", "-S", worker_program.__file__, sys.executable, str(server)]
    return f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'
