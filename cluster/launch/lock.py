"""Only one command at a time starts or stops the site of a home. Locks end with their process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.config import HomeLayout
from cluster.errors import ConflictError
from cluster.secret_file import PRIVATE_FILE


@contextmanager
def site_lock(home: HomeLayout) -> Iterator[None]:
    """Hold the home's lock.

    Raises:
        ConflictError: somebody else holds it.
    """
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "another command is starting or stopping this site", hint="wait for it to end", code="busy"
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def fleet_lock(home: HomeLayout) -> Iterator[None]:
    """Hold, after waiting for it, the right to change which machines are nodes of the site."""
    descriptor = os.open(home.fleet_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
