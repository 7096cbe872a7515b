"""Which port the gateway gets."""

import errno
import socket
from typing import Final

from cluster.errors import ConflictError
from cluster.settings import DEFAULT_PORT

LOOPBACK: Final = "127.0.0.1"


def is_port_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether somebody could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def choose_port(wanted: int | None) -> int:
    """The port to ask for; 0 leaves the choice to the system.

    Raises:
        ConflictError: the wanted port is taken.
    """
    if wanted is None:
        return DEFAULT_PORT if is_port_free(DEFAULT_PORT) else 0
    if not is_port_free(wanted):
        raise ConflictError(
            f"port {wanted} is in use or not allowed",
            hint="choose another with --port, or leave it out to take any free one",
            code="port-in-use",
        )
    return wanted
