"""The replicas that a storage provider keeps: received checked, sealed in place, proved from, dropped.

One database per node. A replica is known by its deal and piece. Its room is reserved when it begins, so a full node
says so before anything is fetched. Every change is one batch, so a killed process finds exactly what was acknowledged:
a chunk that was sealed once more always comes with the progress that says so. A dropped replica disappears at once and
its chunks go in batches after that; a process that is killed in between ends this when it is started again.

Each chunk is stored with a checksum, also between two passes: a damaged one is found before it is sealed, proved or
served. Trusted: the caller's sealing. Left to others: what is sealed (`storage.proofs`), what is wanted (the chain).
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import msgspec

from consensus.primitives.digest import leaf_digest
from consensus.primitives.encoding import encode
from consensus.primitives.integers import MAX_UINT32, Digest
from consensus.storage.seal import MAX_PASSES
from consensus.storage.sectors import BLOCK_BYTES, replica_size
from storage import schema
from storage.artifact_manifest import Manifest
from storage.chunking import cut_chunks, groups_of
from storage.errors import (
    RecordCorruptError,
    ReplicaChunkError,
    ReplicaDamagedError,
    ReplicaMissingError,
    ReplicaQuotaError,
    ReplicaStateError,
    StorageUsageError,
)
from storage.kv import Batch, KeyValueStore, Reader
from storage.lmdb_kv import DEFAULT_MAX_BYTES, LmdbStore
from storage.replica_record import PieceName, Replica, check_step
from storage.stored_records import decode_stored

_DIGEST_BYTES: Final = 32
_BATCH_CHUNKS: Final = 32
"""Chunks written in one batch: 8 MiB in memory, one wait for the disk."""
_BATCH_DELETES: Final = 256


class ReplicaStore:
    """Replicas in a key-value store of their own."""

    def __init__(self, store: KeyValueStore, *, quota_bytes: int | None = None) -> None:
        self._store = store
        self._quota_bytes = quota_bytes
        self._manifest: Manifest | None = None

    @classmethod
    def open(cls, path: Path, *, quota_bytes: int | None = None) -> Self:
        """Open a folder for writing and end the deletions that a killed process began. Raises as `LmdbStore.open`."""
        with ExitStack() as undo:
            store = LmdbStore.open(path, max_size_bytes=max(DEFAULT_MAX_BYTES, 2 * (quota_bytes or 0)))
            undo.callback(store.close)
            replicas = cls(store, quota_bytes=quota_bytes)
            replicas.end_deletions()
            undo.pop_all()
            return replicas

    def begin(self, deal: Digest, piece: int, manifest: Manifest, passes: int) -> Replica:
        """Reserve the room of a replica and remember what has to come. Again with the same piece it changes nothing.

        `manifest`: of the piece's artifact, checked here against the root it names.

        Raises:
            ReplicaStateError: empty piece, impossible passes, manifest that contradicts itself, or the name has another
                replica.
            ReplicaQuotaError: no room; nothing was kept.
        """
        fresh = Replica(deal=deal, piece=piece, root=manifest.root, size=manifest.size, passes=passes)
        name = _name(deal, piece)
        _check_possible(fresh, manifest)
        while (dropped := self._load_dropped(name)) is not None:
            self._purge(dropped)
        with self._store.atomic_batch() as batch:
            known = _find(batch, name)
            if known is not None:
                if (known.root, known.size, known.passes) != (fresh.root, fresh.size, fresh.passes):
                    raise known.refuse("made of another artifact or with other passes: delete it first")
                return known
            self._check_quota(fresh)
            batch.put(schema.replica_key(name), encode(fresh))
            batch.put(schema.replica_manifest_key(name), encode(manifest))
        return fresh

    def put_chunks(
        self, deal: Digest, piece: int, data: Iterable[bytes | memoryview], *, first: int | None = None
    ) -> Replica:
        """Keep plain bytes as they come, in pieces of any size, from chunk `first` on (default: the next one missing).

        What was acknowledged stays when the stream ends early: `received` tells where to go on. Plain chunks that are
        here already may come again, which repairs damaged ones.

        Raises:
            ReplicaMissingError: it was not begun, or was deleted meanwhile.
            ReplicaChunkError: a chunk is not the artifact's; neither it nor its batch was kept.
            ReplicaStateError: a gap would be left, or the chunk is sealed already.
            StorageFullError: the disk is full; the batch was not kept.
        """
        replica = self.load(deal, piece)
        manifest = self.load_manifest(deal, piece)
        index = replica.received if first is None else first
        for chunks in groups_of(cut_chunks(data), _BATCH_CHUNKS):
            for number, chunk in enumerate(chunks, index):
                if not 0 <= number < replica.chunk_count or leaf_digest(chunk) != manifest.leaves[number]:
                    raise ReplicaChunkError(deal, piece, number)
            with self._store.atomic_batch() as batch:
                replica = _stage_plain(batch, _name(deal, piece), index, chunks)
            index += len(chunks)
        return replica

    def put_chunk(self, deal: Digest, piece: int, index: int, chunk: bytes | memoryview) -> Replica:
        """Keep one plain chunk. Raises as `put_chunks`."""
        return self.put_chunks(deal, piece, [chunk], first=index)

    def load_chunk(self, deal: Digest, piece: int, index: int) -> bytes:
        """One chunk as it is now, plain or sealed, padded to whole blocks.

        Raises:
            ReplicaMissingError: no such replica, or the chunk has not come yet.
            ReplicaDamagedError: the chunk is damaged.
        """
        value = self._store.get(schema.replica_chunk_key(_name(deal, piece), index)) if index >= 0 else None
        if value is None:
            if not 0 <= index < self.load(deal, piece).received:
                raise ReplicaMissingError(deal, piece, index)
            raise ReplicaDamagedError(deal, piece, index)
        chunk = value[:-_DIGEST_BYTES]
        if leaf_digest(chunk) != value[-_DIGEST_BYTES:]:
            raise ReplicaDamagedError(deal, piece, index)
        return chunk

    def store_sealed(
        self,
        deal: Digest,
        piece: int,
        index: int,
        sealed: bytes | memoryview,
        *,
        passes_done: int,
        chunks_done: int,
        group_root: Digest | None = None,
    ) -> Replica:
        """Replace a chunk by what sealing made of it, and remember how far sealing is with it, in one batch.

        `passes_done`, `chunks_done`: complete passes, and complete chunks of the next one, with this chunk. A replica
        of a single chunk may go on by several passes at once. `group_root`: the chunk's node of the replica tree, in
        the last pass and only then. The last block of `sealed` is kept as the one that sealing goes on from.

        Raises:
            ReplicaMissingError: no such replica.
            ReplicaStateError: this chunk is not the next, has another size, or its group root is missing or too early.
            StorageFullError: the disk is full; nothing changed.
        """
        name = _name(deal, piece)
        with self._store.atomic_batch() as batch:
            before = _load(batch, deal, piece)
            after = msgspec.structs.replace(
                before, passes_done=passes_done, next_chunk=chunks_done, chain=bytes(sealed[-BLOCK_BYTES:])
            )
            check_step(before, after, index, len(sealed), has_group_root=group_root is not None)
            batch.put(schema.replica_chunk_key(name, index), _with_checksum(bytes(sealed)))
            if group_root is not None:
                batch.put(schema.group_root_key(name, index), group_root)
            batch.put(schema.replica_key(name), encode(after))
        return after

    def finish(self, deal: Digest, piece: int, replica_root: Digest) -> Replica:
        """The last pass is over: remember the root of the sealed bytes. Again with the same root it changes nothing.

        Raises:
            ReplicaMissingError: no such replica.
            ReplicaStateError: passes are left, or it was finished with another root.
        """
        with self._store.atomic_batch() as batch:
            replica = _load(batch, deal, piece)
            if replica.passes_done != replica.passes:
                raise replica.refuse(f"{replica.passes_done} of {replica.passes} passes are done")
            if replica.replica not in {None, replica_root}:
                raise replica.refuse("and has another root")
            replica = msgspec.structs.replace(replica, replica=replica_root)
            batch.put(schema.replica_key(_name(deal, piece)), encode(replica))
        return replica

    def has(self, deal: Digest, piece: int) -> bool:
        """Whether the replica was begun here and not deleted."""
        return self._store.get(schema.replica_key(_name(deal, piece))) is not None

    def load(self, deal: Digest, piece: int) -> Replica:
        """What is known of a replica. Raises ReplicaMissingError, RecordCorruptError."""
        return _load(self._store, deal, piece)

    def load_manifest(self, deal: Digest, piece: int) -> Manifest:
        """What the piece's artifact is made of. Raises ReplicaMissingError, ReplicaDamagedError."""
        replica = self.load(deal, piece)
        cached = self._manifest
        if cached is not None and cached.root == replica.root:
            return cached
        data = self._store.get(schema.replica_manifest_key(_name(deal, piece)))
        try:
            manifest = decode_stored(data or b"", Manifest, replica.root.hex())
        except RecordCorruptError as error:
            raise ReplicaDamagedError(deal, piece, None) from error
        if not manifest.is_true() or manifest.root != replica.root:
            raise ReplicaDamagedError(deal, piece, None)
        self._manifest = manifest
        return manifest

    def load_group_roots(self, deal: Digest, piece: int) -> tuple[Digest, ...]:
        """The group roots that sealing has kept so far, by chunk. Raises ReplicaMissingError."""
        self.load(deal, piece)
        return tuple(Digest(root) for _, root in self._store.scan(schema.GROUP_ROOT + _name(deal, piece)))

    def list_replicas(self) -> Iterator[Replica]:
        """Every replica in the order of deals and pieces. Raises RecordCorruptError at a damaged one."""
        for key, data in self._store.scan(schema.REPLICA):
            yield decode_stored(data, Replica, key[len(schema.REPLICA) :].hex())

    def total_bytes(self) -> int:
        """Bytes of all replicas, each counted whole from its begin until its last chunk is gone."""
        dropped = (decode_stored(data, Replica, key.hex()) for key, data in self._store.scan(schema.DROPPED_REPLICA))
        return sum(replica.stored_bytes for replicas in (self.list_replicas(), dropped) for replica in replicas)

    def free_bytes(self) -> int | None:
        """What the quota has left; None without a quota."""
        return None if self._quota_bytes is None else max(0, self._quota_bytes - self.total_bytes())

    def delete(self, deal: Digest, piece: int) -> bool:
        """Remove a replica; False if it was not there. It is gone at once, its room when this returns."""
        name = _name(deal, piece)
        with self._store.atomic_batch() as batch:
            replica = _find(batch, name)
            if replica is None:
                return False
            batch.delete(schema.replica_key(name))
            batch.put(schema.dropped_replica_key(name), encode(replica))
        self._purge(replica)
        return True

    def retain(self, wanted: Collection[PieceName]) -> tuple[PieceName, ...]:
        """Remove every replica that is not wanted; returns those removed."""
        unwanted = [(each.deal, each.piece) for each in self.list_replicas() if (each.deal, each.piece) not in wanted]
        return tuple(name for name in unwanted if self.delete(*name))

    def drop_damaged(self) -> tuple[PieceName, ...]:
        """Remove every replica whose own record cannot be read any more, with all that belongs to it."""
        names = []
        for key, data in list(self._store.scan(schema.REPLICA)):
            name = key[len(schema.REPLICA) :]
            try:
                decode_stored(data, Replica, name.hex())
            except RecordCorruptError:
                self._wipe(name)
                names.append((Digest(name[:_DIGEST_BYTES]), int.from_bytes(name[_DIGEST_BYTES:], "big")))
        return tuple(names)

    def _wipe(self, name: bytes) -> None:
        """Delete whatever is stored under a name; the record that lists it goes last."""
        for prefix in (schema.REPLICA_CHUNK, schema.GROUP_ROOT, schema.REPLICA_MANIFEST, schema.REPLICA):
            keys = [key for key, _ in self._store.scan(prefix + name)]
            for start in range(0, len(keys), _BATCH_DELETES):
                with self._store.atomic_batch() as batch:
                    for key in keys[start : start + _BATCH_DELETES]:
                        batch.delete(key)

    def end_deletions(self) -> int:
        """Go on with deletions that a killed process began; returns how many there were."""
        dropped = [decode_stored(data, Replica, key.hex()) for key, data in self._store.scan(schema.DROPPED_REPLICA)]
        for replica in dropped:
            self._purge(replica)
        return len(dropped)

    def close(self) -> None:
        """Close the underlying store."""
        self._store.close()

    def _purge(self, dropped: Replica) -> None:
        """Delete chunks in batches, and the mark of the deletion with the last. Begun anew meanwhile, it stops."""
        name = _name(dropped.deal, dropped.piece)
        for start in range(0, dropped.chunk_count, _BATCH_DELETES):
            end = min(start + _BATCH_DELETES, dropped.chunk_count)
            with self._store.atomic_batch() as batch:
                if batch.get(schema.dropped_replica_key(name)) is None:
                    return
                for index in range(start, end):
                    batch.delete(schema.replica_chunk_key(name, index))
                    batch.delete(schema.group_root_key(name, index))
                if end == dropped.chunk_count:
                    batch.delete(schema.replica_manifest_key(name))
                    batch.delete(schema.dropped_replica_key(name))

    def _load_dropped(self, name: bytes) -> Replica | None:
        data = self._store.get(schema.dropped_replica_key(name))
        return None if data is None else decode_stored(data, Replica, name.hex())

    def _check_quota(self, fresh: Replica) -> None:
        """Called in a batch, so nobody else reserves meanwhile."""
        if self._quota_bytes is None:
            return
        needed = self.total_bytes() + fresh.stored_bytes
        if needed > self._quota_bytes:
            raise ReplicaQuotaError(needed, self._quota_bytes)


def _name(deal: Digest, piece: int) -> bytes:
    """Fixed width, so that no name is the beginning of another."""
    if len(deal) != _DIGEST_BYTES or not 0 <= piece <= MAX_UINT32:
        raise StorageUsageError(f"a replica is named by {_DIGEST_BYTES} bytes and a piece from 0 to {MAX_UINT32}")
    return deal + schema.number_bytes(piece)


def _find(reader: Reader | Batch, name: bytes) -> Replica | None:
    data = reader.get(schema.replica_key(name))
    return None if data is None else decode_stored(data, Replica, name.hex())


def _load(reader: Reader | Batch, deal: Digest, piece: int) -> Replica:
    replica = _find(reader, _name(deal, piece))
    if replica is None:
        raise ReplicaMissingError(deal, piece)
    return replica


def _check_possible(fresh: Replica, manifest: Manifest) -> None:
    if fresh.size < 1 or not 1 <= fresh.passes <= MAX_PASSES:
        reason = f"a replica has at least 1 byte and 1 to {MAX_PASSES} passes, not {fresh.size} and {fresh.passes}"
        raise ReplicaStateError(fresh.deal, fresh.piece, reason)
    if not manifest.is_true():
        raise ReplicaStateError(fresh.deal, fresh.piece, "the manifest does not have the root that it names")


def _stage_plain(batch: Batch, name: bytes, first: int, chunks: list[bytes]) -> Replica:
    """Plain chunks that were checked; returns how far the replica is with them."""
    replica = _load(batch, Digest(name[:_DIGEST_BYTES]), int.from_bytes(name[_DIGEST_BYTES:], "big"))
    if first > replica.received:
        raise replica.refuse(f"chunk {first} has to wait for chunk {replica.received}")
    if not replica.is_plain(first):
        raise replica.refuse(f"chunk {first} is sealed already")
    for index, chunk in enumerate(chunks, first):
        key, value = schema.replica_chunk_key(name, index), _with_checksum(_padded(chunk))
        if index >= replica.received or batch.get(key) != value:
            batch.put(key, value)
    replica = msgspec.structs.replace(replica, received=max(replica.received, first + len(chunks)))
    batch.put(schema.replica_key(name), encode(replica))
    return replica


def _padded(chunk: bytes) -> bytes:
    return chunk.ljust(replica_size(len(chunk)), b"\0")


def _with_checksum(chunk: bytes) -> bytes:
    return chunk + leaf_digest(chunk)
