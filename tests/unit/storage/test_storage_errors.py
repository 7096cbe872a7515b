"""Errors keep a stable code and survive the trip to another process, in words and values."""

import pickle  # noqa: TID251  # errors cross between actors pickled; that is what is tested
from pathlib import Path

import pytest

from storage import errors

PATH = Path("/somewhere")
SAMPLES: list[tuple[errors.StorageError, str]] = [
    (errors.StorageUsageError("nested"), "storage-usage"),
    (errors.StorageClosedError("closed"), "storage-closed"),
    (errors.StorageFullError(PATH, "full"), "storage-full"),
    (errors.StorageCorruptError(PATH, "damaged"), "storage-corrupt"),
    (errors.StorageLockedError(PATH, "locked"), "storage-locked"),
    (errors.StorageMissingError(PATH, "missing"), "storage-missing"),
    (errors.StorageReadOnlyError(PATH, "read only"), "storage-read-only"),
    (errors.StorageFailedError(PATH, "input/output error"), "storage-failed"),
    (errors.RecordMissingError("Block", "at height 7"), "record-missing"),
    (errors.RecordCorruptError("Block", "at height 7"), "record-corrupt"),
    (errors.GenesisMismatchError("other chain"), "genesis-mismatch"),
    (errors.SchemaVersionError("layout 2"), "schema-version"),
    (errors.NotNextBlockError("block 9 on 7"), "not-next-block"),
    (errors.ArtifactMissingError(b"\x01" * 32), "artifact-missing"),
    (errors.ArtifactCorruptError(b"\x01" * 32, 3), "artifact-corrupt"),
    (errors.ArtifactCorruptError(b"\x01" * 32, None), "artifact-corrupt"),
    (errors.ArtifactRootError(b"\x01" * 32, b"\x02" * 32), "artifact-root"),
    (errors.ArtifactQuotaError(10, 5), "artifact-quota"),
    (errors.ErasureError("too few", (1, 2)), "erasure"),
    (errors.ReplicaStateError(b"\x01" * 32, 3, "busy"), "replica-state"),
    (errors.ReplicaMissingError(b"\x01" * 32, 3), "replica-missing"),
    (errors.ReplicaMissingError(b"\x01" * 32, 3, 4), "replica-missing"),
    (errors.ReplicaChunkError(b"\x01" * 32, 3, 4), "replica-chunk"),
    (errors.ReplicaDamagedError(b"\x01" * 32, 3, 4), "replica-damaged"),
    (errors.ReplicaDamagedError(b"\x01" * 32, 3, None), "replica-damaged"),
    (errors.ReplicaQuotaError(10, 5), "replica-quota"),
]


@pytest.mark.parametrize(("error", "code"), SAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_error_survives_pickling(error: errors.StorageError, code: str) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(copy) is type(error)
    assert (copy.code, str(copy), vars(copy)) == (code, str(error), vars(error))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.StorageFullError(PATH, "no room"), "/somewhere: no room"),
        (errors.RecordMissingError("Block", "at height 7"), "no Block at height 7"),
        (errors.RecordCorruptError("Block", "at height 7"), "synchronise again"),
        (errors.ArtifactMissingError(b"\xab" * 32), "no artifact abab"),
        (errors.ArtifactCorruptError(b"\xab" * 32, 3), "chunk 3 of artifact abab"),
        (errors.ArtifactCorruptError(b"\xab" * 32, None), "manifest of artifact abab"),
        (errors.ArtifactRootError(b"\xab" * 32, b"\xcd" * 32), "received cdcd"),
        (errors.ArtifactQuotaError(10, 5), "quota of 5"),
        (errors.ErasureError("too few", (1, 2)), "too few: 1, 2"),
        (errors.ReplicaStateError(b"\xab" * 32, 3, "busy"), "piece 3 of deal abab"),
        (errors.ReplicaMissingError(b"\xab" * 32, 3, 4), "no chunk 4"),
        (errors.ReplicaChunkError(b"\xab" * 32, 3, 4), "another source"),
        (errors.ReplicaDamagedError(b"\xab" * 32, 3, 4), "chunk 4 is damaged"),
        (errors.ReplicaQuotaError(10, 5), "exceed the 5 that this node offers"),
    ],
)
def test_error_names_what_went_wrong(error: errors.StorageError, words: str) -> None:
    assert words in str(error)
