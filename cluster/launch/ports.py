"""Which port the gateway gets, and whether the head can be reached where it is said to be."""

import errno
import socket
from typing import Final

from cluster.errors import ConflictError, UsageError
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


def check_head_address(address: str, port: int) -> None:
    """Whether other machines can find the head at `address`, and its control service at `port` (0: any).

    Raises:
        UsageError: it is not an address of this machine.
        ConflictError: the port is taken.
    """
    try:
        is_free = is_port_free(port, address)
    except OSError as error:
        raise UsageError(
            f"{address!r} is not an address of this machine",
            hint="set provider.head_ip in the cluster file to one of those that `ip address` shows",
            code="address",
        ) from error
    if not is_free:
        raise ConflictError(
            f"port {port} of {address} is in use or not allowed",
            hint="set another ray_port in the cluster file, or 0 to take any free one",
            code="port-in-use",
        )
