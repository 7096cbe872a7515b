"""What can go wrong with what is kept. Every class has a stable `code` and says what the operator can do next.

All arguments are positional, so that the errors survive the trip between processes.
"""

from pathlib import Path
from typing import ClassVar


class StorageError(Exception):
    """Base of every error of this package."""

    code: ClassVar[str] = "storage"


class StorageUsageError(StorageError):
    """The caller broke the contract: nested batch, finished batch or snapshot, key out of bounds."""

    code = "storage-usage"


class StorageClosedError(StorageError):
    """The store was closed before this call."""

    code = "storage-closed"


class _PathError(StorageError):
    """An error of one store on disk."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class StorageFullError(_PathError):
    """Neither the disk nor the configured limit has room; the batch changed nothing."""

    code = "storage-full"


class StorageCorruptError(_PathError):
    """The file is not, or no longer, a valid database."""

    code = "storage-corrupt"


class StorageLockedError(_PathError):
    """Another process (or this one) has the store open for writing."""

    code = "storage-locked"


class StorageMissingError(_PathError):
    """There is no store at this path to read from."""

    code = "storage-missing"


class StorageReadOnlyError(_PathError):
    """A write through a store that was opened for reading."""

    code = "storage-read-only"


class StorageFailedError(_PathError):
    """The operating system or the database refused for another reason, which is named."""

    code = "storage-failed"


class RecordMissingError(StorageError):
    """No record of this kind under this key."""

    code = "record-missing"

    def __init__(self, kind: str, key: str) -> None:
        self.kind = kind
        self.key = key
        super().__init__(kind, key)

    def __str__(self) -> str:
        return f"no {self.kind} {self.key}"


class RecordCorruptError(RecordMissingError):
    """Stored bytes are not the record they should be. Restore the node from a peer."""

    code = "record-corrupt"

    def __str__(self) -> str:
        return f"stored {self.kind} {self.key} is damaged: restore the folder, or delete it and synchronise again"


class GenesisMismatchError(StorageError):
    """The store holds another chain."""

    code = "genesis-mismatch"


class SchemaVersionError(StorageError):
    """The store was written by a version of the program with another layout of keys."""

    code = "schema-version"


class NotNextBlockError(StorageError):
    """A block that does not follow the stored tip, or a certificate for another block."""

    code = "not-next-block"


class ArtifactMissingError(RecordMissingError):
    """No complete artifact with this root."""

    code = "artifact-missing"

    def __init__(self, root: bytes) -> None:
        self.root = root
        super().__init__("artifact", root.hex())
        self.args = (root,)


class ArtifactCorruptError(StorageError):
    """A stored chunk (or, with `chunk` None, the manifest) has lost its digest. Put the artifact again to repair it."""

    code = "artifact-corrupt"

    def __init__(self, root: bytes, chunk: int | None) -> None:
        self.root = root
        self.chunk = chunk
        super().__init__(root, chunk)

    def __str__(self) -> str:
        part = "manifest" if self.chunk is None else f"chunk {self.chunk}"
        return f"{part} of artifact {self.root.hex()} is damaged: fetch the artifact again"


class ArtifactRootError(StorageError):
    """The bytes that came do not have the root that was asked for; nothing was kept."""

    code = "artifact-root"

    def __init__(self, expected: bytes, actual: bytes) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(expected, actual)

    def __str__(self) -> str:
        return f"expected artifact {self.expected.hex()}, received {self.actual.hex()}"


class _QuotaError(StorageError):
    """No room by the operator's own limit."""

    def __init__(self, needed_bytes: int, quota_bytes: int) -> None:
        self.needed_bytes = needed_bytes
        self.quota_bytes = quota_bytes
        super().__init__(needed_bytes, quota_bytes)


class ArtifactQuotaError(_QuotaError):
    """The artifact does not fit the node's quota; nothing was kept."""

    code = "artifact-quota"

    def __str__(self) -> str:
        return f"{self.needed_bytes} bytes of artifacts exceed the quota of {self.quota_bytes}: raise it or delete some"


class ErasureError(StorageError):
    """Shards cannot be made or put together. `shards`: those that are missing, unknown or of a wrong size."""

    code = "erasure"

    def __init__(self, reason: str, shards: tuple[int, ...] = ()) -> None:
        self.reason = reason
        self.shards = shards
        super().__init__(reason, shards)

    def __str__(self) -> str:
        return f"{self.reason}: {', '.join(map(str, self.shards))}" if self.shards else self.reason


class _ReplicaError(StorageError):
    """An error of one replica."""

    def __init__(self, deal: bytes, piece: int, reason: str) -> None:
        self.deal = deal
        self.piece = piece
        self.reason = reason
        super().__init__(deal, piece, reason)

    def __str__(self) -> str:
        return f"piece {self.piece} of deal {self.deal.hex()}: {self.reason}"


class ReplicaStateError(_ReplicaError):
    """What was asked for does not go with what is kept of this replica; nothing changed."""

    code = "replica-state"


class ReplicaMissingError(_ReplicaError):
    """No such replica here, or its chunk has not come yet."""

    code = "replica-missing"

    def __init__(self, deal: bytes, piece: int, chunk: int | None = None) -> None:
        self.chunk = chunk
        super().__init__(deal, piece, "not kept here" if chunk is None else f"has no chunk {chunk} here")
        self.args = (deal, piece, chunk)


class ReplicaChunkError(_ReplicaError):
    """Bytes that came are not the chunk they should be; neither they nor their batch was kept."""

    code = "replica-chunk"

    def __init__(self, deal: bytes, piece: int, chunk: int) -> None:
        self.chunk = chunk
        super().__init__(deal, piece, f"what came as chunk {chunk} is not that chunk: fetch it from another source")
        self.args = (deal, piece, chunk)


class ReplicaDamagedError(_ReplicaError):
    """A stored chunk (or, with `chunk` None, the manifest) is damaged."""

    code = "replica-damaged"

    def __init__(self, deal: bytes, piece: int, chunk: int | None) -> None:
        self.chunk = chunk
        part = "manifest" if chunk is None else f"chunk {chunk}"
        super().__init__(deal, piece, f"{part} is damaged: delete the replica, then fetch and seal it again")
        self.args = (deal, piece, chunk)


class ReplicaQuotaError(_QuotaError):
    """The replica does not fit what this node offers; nothing was kept."""

    code = "replica-quota"

    def __str__(self) -> str:
        return f"{self.needed_bytes} bytes of replicas exceed the {self.quota_bytes} that this node offers"
