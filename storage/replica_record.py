"""What a provider knows of one replica it keeps: how far it was received and sealed, in a record that is written often.

A replica is received in order, then sealed in place, pass by pass and chunk by chunk, then finished. The record says
exactly where that stopped, so a killed process goes on from there.
"""

from enum import StrEnum
from typing import TypeAlias

from consensus.primitives.digest import CHUNK_BYTES, chunk_count
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, Uint32, Uint63
from consensus.storage.sectors import replica_size
from storage.errors import ReplicaStateError

PieceName: TypeAlias = tuple[Digest, int]
"""Deal and piece."""


class ReplicaState(StrEnum):
    """What is to be done next with a replica."""

    RECEIVING = "receiving"
    SEALING = "sealing"
    SEALED = "sealed"


class Replica(Record, frozen=True, tag="pouw/stored-replica/1"):
    """One provider's copy of one piece of a deal."""

    deal: Digest
    piece: Uint32
    root: Digest
    """Of the piece's artifact."""
    size: Uint63
    """Bytes of the piece's artifact."""
    passes: Uint32
    """How often sealing goes over the whole replica."""
    received: Uint63 = 0
    """Plain chunks that have come, in order."""
    passes_done: Uint32 = 0
    next_chunk: Uint63 = 0
    """The chunk that is to be sealed next, in the pass after `passes_done`."""
    chain: bytes = b""
    """The last block that was sealed; empty before the first."""
    replica: Digest | None = None
    """Root of the sealed bytes; None before the end."""

    @property
    def state(self) -> ReplicaState:
        if self.replica is not None:
            return ReplicaState.SEALED
        return ReplicaState.RECEIVING if self.received < self.chunk_count else ReplicaState.SEALING

    @property
    def chunk_count(self) -> int:
        return chunk_count(self.size)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the replica: those of the piece in whole blocks."""
        return replica_size(self.size)

    def chunk_bytes(self, index: int) -> int:
        """Bytes of one chunk of the replica."""
        return min(CHUNK_BYTES, self.stored_bytes - index * CHUNK_BYTES)

    def plain_bytes(self, index: int) -> int:
        """Bytes of one chunk of the piece."""
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)

    def is_plain(self, index: int) -> bool:
        """Whether the chunk was not sealed yet, not even once."""
        return self.passes_done == 0 and index >= self.next_chunk

    def is_in_last_pass(self) -> bool:
        """Whether what was sealed last was sealed in the last pass."""
        return self.passes_done + (self.next_chunk > 0) == self.passes

    def refuse(self, reason: str) -> ReplicaStateError:
        """The error that says what does not go with this replica now."""
        return ReplicaStateError(self.deal, self.piece, f"it is {self.state}, {reason}")


def check_step(before: Replica, after: Replica, index: int, size_bytes: int, *, has_group_root: bool) -> None:
    """Raises ReplicaStateError unless sealing this chunk leads from the one state to the other."""
    if before.state is not ReplicaState.SEALING or before.passes_done == before.passes:
        raise before.refuse("nothing is to be sealed")
    if index != before.next_chunk:
        raise before.refuse(f"chunk {before.next_chunk} is the next, not {index}")
    if size_bytes != before.chunk_bytes(index):
        raise before.refuse(f"chunk {index} has {before.chunk_bytes(index)} bytes, not {size_bytes}")
    if not _is_step(before, after):
        where = f"{before.passes_done} passes and {before.next_chunk} chunks are done"
        raise before.refuse(f"{where}: {after.passes_done} and {after.next_chunk} do not follow")
    if has_group_root != after.is_in_last_pass():
        raise before.refuse("group roots come with the chunks of the last pass, and only then")


def _is_step(before: Replica, after: Replica) -> bool:
    count = before.chunk_count
    if not (0 <= after.next_chunk < count and after.passes_done <= before.passes):
        return False
    steps = (after.passes_done - before.passes_done) * count + after.next_chunk - before.next_chunk
    return steps == 1 or (count == 1 and steps > 1)
