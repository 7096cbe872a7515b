"""Artifacts by their bulk digest: weights, dataset segments, exported models, in chunks that artifacts share.

Whoever asks for a root gets bytes that were checked against it, chunk by chunk, or an error that names the damaged one.
An artifact is there completely or not at all. Bulk data has its own database, so it never delays a block.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from consensus.primitives.digest import bulk_root, leaf_digest
from consensus.primitives.encoding import encode
from consensus.primitives.integers import ZERO_DIGEST, Digest
from storage import schema
from storage.artifact_manifest import Manifest
from storage.chunk_counts import load_stored_bytes, stage_hold, stage_reference, stage_unhold, stage_unreference
from storage.chunking import cut_chunks, groups_of
from storage.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ArtifactQuotaError,
    ArtifactRootError,
    RecordCorruptError,
)
from storage.kv import Batch, KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.one_behind import OneBehind
from storage.stored_records import decode_stored, load_number

if TYPE_CHECKING:
    from consensus.ports import ArtifactSource

_BATCH_CHUNKS: Final = 32
"""Chunks written in one batch: 8 MiB in memory, one wait for the disk."""
_RECENT_MANIFESTS: Final = 8
"""Checking a large manifest takes a hundred times as long as reading a chunk, so a reader of chunks does it once."""


class ArtifactStore:
    """Artifacts in a key-value store of their own. Implements `ports.ArtifactSource`."""

    def __init__(self, store: KeyValueStore, *, quota_bytes: int | None = None) -> None:
        self._store = store
        self._quota_bytes = quota_bytes
        self._recent: Mapping[Digest, tuple[bytes, Manifest]] = {}

    @classmethod
    def open(cls, path: Path, *, quota_bytes: int | None = None) -> Self:
        """Open a folder for writing and clear away what a killed process left. Raises as `LmdbStore.open`."""
        with ExitStack() as undo:
            store = LmdbStore.open(path)
            undo.callback(store.close)
            artifacts = cls(store, quota_bytes=quota_bytes)
            artifacts.discard_unfinished()
            undo.pop_all()
            return artifacts

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open a folder for reading. Raises as `LmdbStore.open_read_only`."""
        return cls(LmdbStore.open_read_only(path))

    def put(
        self,
        data: bytes | bytearray | memoryview | Iterable[bytes | memoryview],
        *,
        binding: Digest = ZERO_DIGEST,
        expected_root: Digest | None = None,
    ) -> Digest:
        """Keep a buffer, or pieces of any size as they come, and return the root.

        Nothing is visible before the whole is there. Putting an artifact again repairs damaged chunks.

        Raises:
            ArtifactRootError: the bytes do not have `expected_root`; nothing is kept.
            ArtifactQuotaError: they do not fit; nothing is kept.
            StorageFullError: the disk is full; nothing is kept.
        """
        held: set[Digest] = set()
        leaves: list[Digest] = []
        size = 0
        with ExitStack() as undo:
            undo.callback(self._unhold, held)
            with OneBehind() as behind:
                for chunks in groups_of(cut_chunks(data), _BATCH_CHUNKS):
                    found = [leaf_digest(chunk) for chunk in chunks]
                    if leaves:
                        behind.submit(partial(self._hold, found, chunks, held))
                    else:
                        self._hold(found, chunks, held)  # a small artifact needs no thread
                    leaves += found
                    size += sum(map(len, chunks))
            root = bulk_root(leaves, size, binding)
            if expected_root is not None and root != expected_root:
                raise ArtifactRootError(expected_root, root)
            self._complete(Manifest(root=root, size=size, binding=binding, leaves=tuple(leaves)), held)
            undo.pop_all()
        return root

    def has(self, root: Digest) -> bool:
        """Whether the artifact is here, completely."""
        return self._store.get(schema.manifest_key(root)) is not None

    def load_manifest(self, root: Digest) -> Manifest:
        """What the artifact is made of, checked against its root.

        Raises:
            ArtifactMissingError: no such artifact here.
            ArtifactCorruptError: the manifest is damaged.
        """
        data = self._store.get(schema.manifest_key(root))
        if data is None:
            raise ArtifactMissingError(root)
        return self._checked(root, data)

    def open_reader(self, root: Digest) -> Iterator[bytes]:
        """The artifact's chunks in order, each checked as it is read. Raises as `load_manifest` and `load_chunk`."""
        manifest = self.load_manifest(root)
        return (self._load_chunk(root, index, leaf) for index, leaf in enumerate(manifest.leaves))

    def load_chunk(self, root: Digest, index: int) -> bytes:
        """One checked chunk.

        Raises:
            ArtifactMissingError: no such artifact here.
            ArtifactCorruptError: the chunk or the manifest is damaged.
            IndexError: the artifact has no such chunk.
        """
        leaves = self.load_manifest(root).leaves
        if not 0 <= index < len(leaves):
            raise IndexError(index)
        return self._load_chunk(root, index, leaves[index])

    def load_artifact(self, root: Digest) -> bytes:
        """The whole artifact in memory. Raises as `open_reader`."""
        return b"".join(self.open_reader(root))

    def load_into(self, root: Digest, buffer: bytearray | memoryview) -> None:
        """Read the whole artifact into a writable buffer of exactly its size, without a second copy.

        Raises:
            ValueError: the buffer has another size.
            ArtifactMissingError, ArtifactCorruptError: as `open_reader`.
        """
        view = memoryview(buffer).cast("B")
        size = self.load_manifest(root).size
        if len(view) != size:
            raise ValueError(f"artifact {root.hex()} has {size} bytes, the buffer {len(view)}")
        start = 0
        for chunk in self.open_reader(root):
            view[start : start + len(chunk)] = chunk
            start += len(chunk)

    def delete(self, root: Digest) -> bool:
        """Remove an artifact and the chunks no other one shares; False if it was not there.

        Raises:
            ArtifactCorruptError: the manifest is damaged, so its chunks are unknown.
        """
        with self._store.atomic_batch() as batch:
            data = batch.get(schema.manifest_key(root))
            if data is None:
                return False
            batch.delete(schema.manifest_key(root))
            for leaf in set(_checked_manifest(root, data).leaves):
                stage_unreference(batch, leaf)
        return True

    def list_bound_to(self, binding: Digest) -> Iterator[Digest]:
        """Roots of the complete artifacts with a binding, those with a damaged manifest left out."""
        for key, data in self._store.scan(schema.MANIFEST):
            with suppress(ArtifactCorruptError):
                manifest = _checked_manifest(Digest(key[len(schema.MANIFEST) :]), data)
                if manifest.binding == binding:
                    yield manifest.root

    def list_artifacts(self) -> Iterator[Manifest]:
        """Every complete artifact in the order of roots. Raises ArtifactCorruptError at a damaged manifest."""
        for key, data in self._store.scan(schema.MANIFEST):
            yield _checked_manifest(Digest(key[len(schema.MANIFEST) :]), data)

    def total_bytes(self) -> int:
        """Bytes of all chunks; those that artifacts share count once."""
        return load_number(self._store, schema.ARTIFACT_BYTES_KEY) or 0

    def discard_unfinished(self) -> int:
        """Drop chunks of puts that a killed process left behind; returns how many holds were cleared.

        For the owner, before the first `put`: a put that is under way would lose its holds.
        """
        holds = [(Digest(key[len(schema.HOLDS) :]), value) for key, value in self._store.scan(schema.HOLDS)]
        for start in range(0, len(holds), _BATCH_CHUNKS):
            with self._store.atomic_batch() as batch:
                for leaf, count in holds[start : start + _BATCH_CHUNKS]:
                    stage_unhold(batch, leaf, int.from_bytes(count, "big"))
        return len(holds)

    def close(self) -> None:
        """Close the underlying store."""
        self._store.close()

    def _hold(self, leaves: list[Digest], chunks: list[bytes], held: set[Digest]) -> None:
        """Write chunks in one batch, and add their leaves to `held`."""
        new = {leaf: chunk for leaf, chunk in zip(leaves, chunks, strict=True) if leaf not in held}
        with self._store.atomic_batch() as batch:
            for leaf, chunk in new.items():
                stage_hold(batch, leaf, chunk)
            self._check_quota(batch)
        held.update(new)

    def _check_quota(self, batch: Batch) -> None:
        needed = load_stored_bytes(batch)
        if self._quota_bytes is not None and needed > self._quota_bytes:
            raise ArtifactQuotaError(needed, self._quota_bytes)

    def _complete(self, manifest: Manifest, held: set[Digest]) -> None:
        """Turn holds into references and show the artifact, in one batch."""
        with self._store.atomic_batch() as batch:
            is_new = batch.get(schema.manifest_key(manifest.root)) is None
            batch.put(schema.manifest_key(manifest.root), encode(manifest))
            for leaf in held:
                if is_new:
                    stage_reference(batch, leaf)
                stage_unhold(batch, leaf)

    def _unhold(self, held: set[Digest]) -> None:
        with self._store.atomic_batch() as batch:
            for leaf in held:
                stage_unhold(batch, leaf)

    def _checked(self, root: Digest, data: bytes) -> Manifest:
        """The manifest, checked again only if its bytes are not those that were checked last time."""
        known = self._recent.get(root)
        if known is not None and known[0] == data:
            return known[1]
        manifest = _checked_manifest(root, data)
        kept = [*((other, pair) for other, pair in self._recent.items() if other != root), (root, (data, manifest))]
        self._recent = dict(kept[-_RECENT_MANIFESTS:])  # a new mapping: other threads read on in the old one
        return manifest

    def _load_chunk(self, root: Digest, index: int, leaf: Digest) -> bytes:
        chunk = self._store.get(schema.chunk_key(leaf))
        if chunk is not None and leaf_digest(chunk) == leaf:
            return chunk
        if not self.has(root):  # deleted while it was read
            raise ArtifactMissingError(root)
        raise ArtifactCorruptError(root, index)


def _checked_manifest(root: Digest, data: bytes) -> Manifest:
    try:
        manifest = decode_stored(data, Manifest, root.hex())
    except RecordCorruptError as error:
        raise ArtifactCorruptError(root, None) from error
    if root != manifest.root or not manifest.is_true():
        raise ArtifactCorruptError(root, None)
    return manifest


if TYPE_CHECKING:

    def _conforms(store: ArtifactStore) -> ArtifactSource:
        return store
