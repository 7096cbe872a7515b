"""The contract on disk, in LMDB: what a batch wrote is on the disk when the batch ends, whatever kills the process.

The only module that knows LMDB. Two of its sharp edges are taken off here. A file cut short kills the reader with
SIGBUS, so the data file is always as long as the map (sparse) and a shorter one is refused when it is opened. A full
map fails the writer, so it is doubled and the batch applied again, up to a limit.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import lmdb

from storage.data_file import WHAT_TO_DO, DataFile, whole_pages
from storage.errors import (
    StorageClosedError,
    StorageCorruptError,
    StorageError,
    StorageFailedError,
    StorageFullError,
    StorageLockedError,
    StorageMissingError,
    StorageReadOnlyError,
    StorageUsageError,
)
from storage.growth_gate import GrowthGate
from storage.kv import Batch, KeyValueStore, Reader, check_key
from storage.owner_lock import OwnerLock, is_store
from storage.write_batch import Changes, WriterTurn, atomic_batch

DEFAULT_INITIAL_BYTES: Final = 16 * 1024 * 1024
DEFAULT_MAX_BYTES: Final = 256 * 1024 * 1024 * 1024
_PAGE_ENTRIES: Final = 256
_PAGE_BYTES: Final = 4 * 1024 * 1024
_MAX_READERS: Final = 512
_NEARLY_FULL_BYTES: Final = 1024 * 1024
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LmdbStore:
    """Implements `kv.KeyValueStore`. Make one with `open` or `open_read_only`."""

    def __init__(self, path: Path, environment: lmdb.Environment, max_bytes: int, lock: OwnerLock | None) -> None:
        self._path = path
        self._environment = environment
        self._max_bytes = max_bytes
        self._lock = lock
        self._gate = GrowthGate()
        self._turn = WriterTurn()
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        initial_size_bytes: int = DEFAULT_INITIAL_BYTES,
        max_size_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Self:
        """Open for writing, creating the folder (0700) and its files (0600) if need be.

        Raises:
            StorageLockedError: somebody has it open for writing.
            StorageCorruptError: the data file is damaged, cut short or gone.
            StorageFullError: no room to create it.
        """
        with _translated(path), ExitStack() as undo:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            lock = OwnerLock.acquire(path)
            undo.callback(lock.release)
            data_file = DataFile(path)
            if lock.is_marked_complete():
                data_file.check_present()
            map_bytes = max(min(initial_size_bytes, max_size_bytes), data_file.size_bytes())
            environment = lmdb.open(str(path), map_size=whole_pages(map_bytes), mode=0o600, max_readers=_MAX_READERS)
            undo.callback(environment.close)
            data_file.check_length(_used_bytes(environment))
            environment.reader_check()
            data_file.extend(environment.info()["map_size"])
            data_file.make_creation_durable(lock)
            undo.pop_all()
            return cls(path, environment, whole_pages(max_size_bytes), lock)

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open for reading, while another process writes or when none does.

        Raises:
            StorageMissingError: there is no store here.
            StorageLockedError: this very process has it open already.
            StorageCorruptError: the data file is damaged or cut short.
        """
        if not is_store(path):
            raise StorageMissingError(path, "there is no store here yet: start a node with this folder first")
        with _translated(path), ExitStack() as undo:
            data_file = DataFile(path)
            data_file.check_present()
            map_bytes = whole_pages(data_file.size_bytes())
            environment = lmdb.open(str(path), map_size=map_bytes, readonly=True, max_readers=_MAX_READERS)
            undo.callback(environment.close)
            data_file.check_length(_used_bytes(environment))
            undo.pop_all()
            return cls(path, environment, map_bytes, None)

    def get(self, key: bytes) -> bytes | None:
        check_key(key)
        with self._transaction() as transaction:
            return _Transaction(self._path, transaction).get(key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        start: bytes | None = prefix
        while start is not None:
            page, start = self._load_page(prefix, start)
            yield from page

    def put(self, key: bytes, value: bytes) -> None:
        with self.atomic_batch() as batch:
            batch.put(key, value)

    def delete(self, key: bytes) -> None:
        with self.atomic_batch() as batch:
            batch.delete(key)

    def atomic_batch(self) -> AbstractContextManager[Batch]:
        if self._lock is None:
            raise StorageReadOnlyError(self._path, "this store was opened for reading")
        return self._batch_over_one_state()

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        with self._transaction() as transaction:
            reader = _Transaction(self._path, transaction)
            try:
                yield reader
            finally:
                reader.end()

    def close(self) -> None:
        with self._turn.taken(), self._gate.alone():
            if self._closed:
                return
            self._closed = True
            self._environment.close()
            if self._lock is not None:
                self._lock.release()

    @contextmanager
    def _batch_over_one_state(self) -> Iterator[Batch]:
        """Nothing is committed while this thread has its turn, so one transaction serves all reads of a batch."""
        with ExitStack() as leave:

            def commit(changes: Changes) -> None:
                leave.close()  # a store cannot grow under an open transaction
                self._commit(changes)

            with atomic_batch(self._turn, _FirstUse(self._transaction, self._path, leave), commit) as batch:
                yield batch

    def _load_page(self, prefix: bytes, start: bytes) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Entries from `start` on, and where the next page starts if this one was full."""
        page: list[tuple[bytes, bytes]] = []
        size = 0
        with self._transaction() as transaction:
            for key, value in _Transaction(self._path, transaction).scan(prefix, start):
                page.append((key, value))
                size += len(value)
                if len(page) == _PAGE_ENTRIES or size >= _PAGE_BYTES:
                    return page, key + b"\0"
        return page, None

    @contextmanager
    def _transaction(self) -> Iterator["lmdb.Transaction[bytes]"]:
        with ExitStack() as leave:
            with _translated(self._path):
                while (transaction := self._try_begin(leave)) is None:
                    self._adopt_growth()
            yield transaction

    def _try_begin(self, leave: ExitStack) -> "lmdb.Transaction[bytes] | None":
        """Begin to read, or None if the owner has grown the database since."""
        with ExitStack() as undo:
            undo.enter_context(self._gate.reading())
            self._check_open()
            try:
                transaction = self._environment.begin()
            except lmdb.MapResizedError:
                return None
            undo.callback(transaction.abort)
            leave.enter_context(undo.pop_all())
            return transaction

    def _adopt_growth(self) -> None:
        with self._gate.alone():
            self._check_open()
            self._environment.set_mapsize(0)

    def _commit(self, changes: Changes) -> None:
        self._check_open()
        with _translated(self._path):
            while not self._try_write(changes):
                self._grow()

    def _try_write(self, changes: Changes) -> bool:
        """Apply a batch, or say that the map is full. Either way it is all or nothing."""
        try:
            with self._environment.begin(write=True) as transaction:
                for key, value in sorted(changes.items()):
                    if value is None:
                        transaction.delete(key)
                    else:
                        transaction.put(key, value)
        except lmdb.MapFullError:
            return False
        return True

    def _grow(self) -> None:
        map_bytes = self._environment.info()["map_size"]
        if map_bytes >= self._max_bytes:
            reason = f"the limit of {self._max_bytes} bytes is reached: raise max_size_bytes or free some room"
            raise StorageFullError(self._path, reason)
        grown = min(2 * map_bytes, self._max_bytes)
        self._environment.reader_check()  # readers that were killed keep old pages from being used again
        with self._gate.alone():
            DataFile(self._path).extend(grown)
            self._environment.set_mapsize(grown)

    def _check_open(self) -> None:
        if self._closed:
            raise StorageClosedError(f"{self._path} is closed")


class _Transaction:
    """Reads in one LMDB transaction. Implements `kv.Reader`."""

    def __init__(self, path: Path, transaction: "lmdb.Transaction[bytes]") -> None:
        self._path = path
        self._transaction = transaction
        self._ended = False

    def get(self, key: bytes) -> bytes | None:
        check_key(key)
        self._check_use()
        with _translated(self._path):
            return self._transaction.get(key)

    def scan(self, prefix: bytes = b"", start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        self._check_use()
        with _translated(self._path), self._transaction.cursor() as cursor:
            found = cursor.set_range(prefix if start is None else start)
            while found and cursor.key().startswith(prefix):
                yield cursor.item()
                self._check_use()
                found = cursor.next()

    def end(self) -> None:
        self._ended = True

    def _check_use(self) -> None:
        if self._ended:
            raise StorageUsageError("this snapshot has ended")


class _FirstUse:
    """A transaction that begins with the first read: most batches that only write need none. Implements `kv.Reader`."""

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager["lmdb.Transaction[bytes]"]],
        path: Path,
        leave: ExitStack,
    ) -> None:
        self._begin = begin
        self._path = path
        self._leave = leave
        self._reader: _Transaction | None = None

    def get(self, key: bytes) -> bytes | None:
        return self._opened().get(key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return self._opened().scan(prefix)

    def _opened(self) -> _Transaction:
        if self._reader is None:
            self._reader = _Transaction(self._path, self._leave.enter_context(self._begin()))
        return self._reader


def _used_bytes(environment: lmdb.Environment) -> int:
    return (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise _translate(path, error, getattr(error, "code", 0)) from error
    except OSError as error:
        raise _translate(path, error, error.errno or 0) from error


def _translate(path: Path, error: Exception, code: int) -> StorageError:
    if code in _NO_SPACE or (code == errno.EIO and _is_disk_full(path)):
        return StorageFullError(path, f"no space left for the store: free some disk ({error})")
    damage = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError)
    if isinstance(error, damage):
        return StorageCorruptError(path, f"data.mdb is not a valid database ({error}): {WHAT_TO_DO}")
    if "already open in this process" in str(error):
        return StorageLockedError(path, "this process has the store open already: share that one")
    return StorageFailedError(path, str(error))


def _is_disk_full(path: Path) -> bool:
    """LMDB reports a write that was cut short by a full disk as an input/output error."""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize < _NEARLY_FULL_BYTES


if TYPE_CHECKING:

    def _conforms(store: LmdbStore) -> KeyValueStore:
        return store
