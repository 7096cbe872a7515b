"""A process with everything loaded that a site's workers need but Ray itself; Ray's workers are forked from it.

Loading torch and the rest takes over a second of processor time, and a site starts processes whenever one was killed or
miners are added. A fork takes some milliseconds and shares the memory of what is loaded. Ray is left out: it reads
what its raylet says in variables while it is imported. No thread but the allocator's runs here, and nothing computes.

Started by `cluster/launch/forking`, asked by `cluster/launch/worker_program`. It ends with the process that started it.
"""

import argparse
import logging
import os
import runpy
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from cluster.actors.loading import lasting
from cluster.launch.worker_program import FORKED
from jobs.determinism import PORTABLE, environment

REFUSED: Final = b"0"
_LONGEST: Final = 1 << 20
_STREAMS: Final = 3
_PATIENCE_S: Final = 1.0
"""A request comes in one packet at once; nobody holds up the others."""
_DECIDES_BITS: Final = frozenset(environment(PORTABLE))

_log = logging.getLogger("pouw.fork_server")
"""Without handlers: those would be in every worker. What it says goes to standard error as it is."""


class Start(msgspec.Struct, frozen=True):
    """A worker to run, as the process that asks would have run it."""

    arguments: tuple[str, ...]
    """Path of Ray's program, then what it is given."""
    environment: dict[str, str]
    folder: str
    oom_score_adj: str
    """How early the kernel ends it when memory runs out. Ray sets it for the process that it has started."""

    def is_of(self, program: Path) -> bool:
        """Whether it is this program that is to run."""
        return bool(self.arguments) and Path(self.arguments[0]) == program

    @property
    def has_same_bits(self) -> bool:
        """Whether torch would have been loaded under the variables it was loaded under here."""
        return all(self.environment.get(name) == os.environ.get(name) for name in _DECIDES_BITS)

    def run(self) -> None:
        """Become that program."""
        os.environ.clear()
        os.environ.update(self.environment)
        with suppress(OSError):  # it was removed meanwhile
            os.chdir(self.folder)
        with suppress(OSError):  # only root may lower it
            Path("/proc/self/oom_score_adj").write_text(self.oom_score_adj)
        program = self.arguments[0]
        sys.argv = list(self.arguments)
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until standard input ends. In a forked child it returns when the child's program does."""
    parser = argparse.ArgumentParser(prog="python -m cluster.launch.fork_server")
    parser.add_argument("--listener", type=int, required=True, help="file descriptor of the socket that is asked on")
    parser.add_argument("--program", type=Path, required=True, help="that of workers; no other is run")
    parser.add_argument("folder", help="that of the node, by which its processes are found")
    options = parser.parse_args(arguments)
    with socket.socket(fileno=options.listener) as listener:
        load()
        start = serve(listener, options.program)
    if start is not None:
        start.run()


def load() -> None:
    """Load everything, for good."""
    with lasting():
        import cluster.launch.worker_modules  # noqa: F401


def serve(listener: socket.socket, program: Path) -> Start | None:
    """Fork a child for each request. Returns what to run in a child, and None here when standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: their raylet watches them
    while True:
        ready, _, _ = select.select([sys.stdin, listener], [], [])
        if sys.stdin in ready:
            return None
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_PATIENCE_S)
            start = _answer(connection, program)
        if start is not None:
            return start


def _answer(connection: socket.socket, program: Path) -> Start | None:
    """Fork for the one that asks. Returns what to run in the child, else None."""
    streams: list[int] = []
    try:
        packet, streams, _, _ = socket.recv_fds(connection, _LONGEST, _STREAMS)
        return _fork(connection, program, packet, streams)
    except (msgspec.DecodeError, OSError):
        _log.exception("a worker was not forked")
        return None
    finally:
        for stream in streams:
            os.close(stream)


def _fork(connection: socket.socket, program: Path, packet: bytes, streams: Sequence[int]) -> Start | None:
    start = msgspec.json.decode(packet, type=Start)
    has_gone = bool(select.select([connection], [], [], 0)[0])  # it says nothing more, so this is its end
    if has_gone or not start.is_of(program) or not start.has_same_bits or len(streams) != _STREAMS:
        connection.send(REFUSED, socket.MSG_NOSIGNAL)
        return None
    if os.fork():
        connection.send(FORKED, socket.MSG_NOSIGNAL)
        return None
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    return start


if __name__ == "__main__":
    main()
