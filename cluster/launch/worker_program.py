"""What Ray runs in place of Python: a worker it has forked by the fork server, all else it runs with Python itself.

It is started for every process of Ray, so it takes nothing but the standard library: `python -I -S` with this file, the
path of Python, the server's socket, and what Ray wants to run.
"""

import json
import os
import socket
import sys
from pathlib import Path

WORKER = "default_worker.py"
FORKED = b"1"
"""What the server says when it has forked the worker."""
_PATIENCE_S = 10.0


def main(python: str, server: str, *arguments: str) -> None:
    """Returns only if a worker was forked."""
    is_worker = bool(arguments) and Path(arguments[0]).name == WORKER
    if not (is_worker and _was_forked(server, arguments)):
        os.execv(python, [python, *arguments])  # noqa: S606 - it becomes what Ray has asked for


def _was_forked(server: str, arguments: tuple[str, ...]) -> bool:
    """Whether the server has forked one. If it is gone, frozen or refuses, the worker has to load everything itself."""
    try:
        start = {
            "arguments": arguments,
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
            "oom_score_adj": Path("/proc/self/oom_score_adj").read_text(),
        }
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(server)
            socket.send_fds(connection, [json.dumps(start).encode()], [0, 1, 2])
            return connection.recv(1) == FORKED
    except OSError:
        return False


if __name__ == "__main__":
    main(*sys.argv[1:])
