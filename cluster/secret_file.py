"""Files that only their owner may read: keys, tokens, passphrases.

They are written completely or not at all, and created private: at no instant does a reader with other rights see them.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import ConflictError, NotAuthorisedError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_OTHERS = 0o077


def make_private_folder(folder: Path) -> None:
    """Create a folder with mode 0700, and so its parents. One that exists keeps its mode."""
    for missing in (*reversed(folder.parents), folder):
        missing.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def create_secret(path: Path, data: bytes) -> None:
    """Write a new private file.

    Raises:
        ConflictError: there is one already; it is left as it is.
    """
    with _private_temporary(path, data) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError as error:
            raise ConflictError(f"{path} exists already", code="exists") from error


def replace_secret(path: Path, data: bytes) -> None:
    """Write a private file in the place of any that is there."""
    with _private_temporary(path, data) as temporary:
        temporary.replace(path)


def load_secret(path: Path) -> bytes:
    """Read a private file.

    Raises:
        FileNotFoundError: there is none.
        NotAuthorisedError: others may read or change it, so what it holds is no longer a secret.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & _OTHERS:
            raise NotAuthorisedError(
                f"{path} can be read by others (mode {mode:04o})",
                hint=f"chmod 600 {path}; if others may have read it, replace it",
                code="file-mode",
            )
        return file.read()


def load_or_create_token(path: Path) -> str:
    """The token in `path`, drawn at random when there is none yet.

    Raises:
        NotAuthorisedError: others may read the file.
    """
    make_private_folder(path.parent)
    with contextlib.suppress(ConflictError):  # somebody else was first: theirs counts
        if not path.exists():
            create_secret(path, secrets.token_hex(32).encode() + b"\n")
    return load_secret(path).decode().strip()


@contextlib.contextmanager
def _private_temporary(path: Path, data: bytes) -> Iterator[Path]:
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
