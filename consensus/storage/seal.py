"""How a replica is sealed for one provider, and what shows that it was.

Sealing runs a chain of square roots over all blocks of a replica, `passes` times, each pass beginning with the last
block of the one before. A key made of deal, piece and provider is mixed into every block. Sealing is slow and cannot be
split up. Going back is fast, and a block needs only the `passes` blocks before it: one chunk of the replica can be
unsealed and held to the piece without the rest. Small pieces get more passes, so that no seal fits a deadline.

An opening is one chunk with the blocks that unsealing it needs and the proof that all are in the replica. The caller
knows the leaf of the piece's chunk from the manifest; nothing else is trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from blake3 import blake3

from consensus.primitives.digest import CHUNK_BYTES, leaf_digest
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, PublicKey, Uint63
from consensus.storage.errors import SealError, SealFault
from consensus.storage.multiproof import verify_multiproof
from consensus.storage.permutation import unseal_blocks, unseal_window
from consensus.storage.sectors import BLOCK_BYTES, GROUP_SECTORS, SECTOR_BYTES, replica_size, sector_count

MAX_PASSES: Final = 1024
"""Fewer than a chunk has blocks, so that no chunk but the first needs blocks from the end of the replica."""
NO_BLOCK: Final = bytes(BLOCK_BYTES)
"""What is before the first block in the first pass."""
_KEY_CONTEXT: Final = "pouw 2026 seal key"


class Opening(Record, frozen=True, tag="pouw/replica-opening/1"):
    """One chunk of a replica with all that it takes to unseal it."""

    index: Uint63
    """Which chunk."""
    chunk: bytes
    """Its sealed bytes."""
    before: bytes
    """The whole sectors with the blocks before it, cyclically, as `opening_sectors` says."""
    siblings: tuple[Digest, ...]
    """The multiproof of the sectors of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """How one replica is sealed."""

    size: int
    """Bytes of the piece."""
    passes: int
    """1 to `MAX_PASSES`; 1 for a piece of a single block, which has no neighbour to be mixed with."""
    key: bytes
    """Mixed into every block, 64 bytes."""

    @classmethod
    def for_piece(cls, deal: Digest, piece: int, provider: PublicKey, *, size: int, floor_bytes: int) -> Self:
        """The seal of a piece of `size` bytes, under the chain's `seal_floor_bytes`. Raises as `seal_passes`."""
        return cls(size=size, passes=seal_passes(size, floor_bytes), key=seal_key(deal, piece, provider))

    @property
    def replica_size(self) -> int:
        """Bytes of the replica."""
        return replica_size(self.size)

    @property
    def chunk_count(self) -> int:
        """Chunks of the replica, as many as of the piece."""
        return -(-self.size // CHUNK_BYTES)


def seal_passes(size: int, floor_bytes: int) -> int:
    """Passes over a piece of `size` bytes, so that at least `floor_bytes` bytes go through the chain; at most 1024.

    Raises:
        ValueError: the piece has no bytes.
    """
    if size < 1:
        raise ValueError(f"a piece of {size} bytes cannot be sealed")
    if size <= BLOCK_BYTES:
        return 1
    return min(max(-(-floor_bytes // size), 1), MAX_PASSES)


def seal_key(deal: Digest, piece: int, provider: PublicKey) -> bytes:
    """The 64 bytes that make a provider's replica its own."""
    message = deal + piece.to_bytes(8, "big") + provider
    return blake3(message, derive_key_context=_KEY_CONTEXT).digest(length=BLOCK_BYTES)


def opening_sectors(seal: Seal, index: int) -> tuple[range, range]:
    """The sectors an opening of chunk `index` shows: those before the chunk, and those of the chunk.

    The first chunk comes after the end of the replica; of one that is all of the replica nothing is before.

    Raises:
        IndexError: the replica has no such chunk.
    """
    if not 0 <= index < seal.chunk_count:
        raise IndexError(index)
    sectors = sector_count(seal.replica_size)
    start = index * GROUP_SECTORS
    chunk = range(start, min(start + GROUP_SECTORS, sectors))
    if index > 0:
        return range(start - -(-seal.passes * BLOCK_BYTES // SECTOR_BYTES), start), chunk
    if seal.passes == 1:
        return range(0), chunk
    first = (seal.replica_size - seal.passes * BLOCK_BYTES) // SECTOR_BYTES
    return range(max(first, chunk.stop), sectors), chunk


def unseal_chunk(seal: Seal, index: int, chunk: bytes, before: bytes) -> bytes:
    """The piece's bytes in chunk `index`, from the sealed bytes of `opening_sectors`.

    Raises:
        IndexError: the replica has no such chunk.
        SealError: not as many bytes as these sectors have, or no zeros behind the end of the piece.
    """
    places = opening_sectors(seal, index)
    if any(len(data) != _length(seal, place) for data, place in zip((before, chunk), places, strict=True)):
        raise SealError(SealFault.LENGTH, index)
    plain = _unseal(seal, index, chunk, before)
    end = min(seal.size - index * CHUNK_BYTES, CHUNK_BYTES)
    if any(plain[end:]):
        raise SealError(SealFault.PADDING, index)
    return plain[:end]


def check_opening(opening: Opening, seal: Seal, replica: Digest, index: int, leaf: Digest) -> None:
    """Hold an opening to the root `replica`, and what it unseals to `leaf`, the leaf of the piece's chunk `index`.

    Raises:
        IndexError: the piece has no such chunk.
        SealError: another chunk, wrong lengths, not in the replica, or not this chunk of the piece.
    """
    before, chunk = opening_sectors(seal, index)
    if opening.index != index:
        raise SealError(SealFault.CHUNK, index)
    if len(opening.chunk) != _length(seal, chunk) or len(opening.before) != _length(seal, before):
        raise SealError(SealFault.LENGTH, index)
    shown = dict(zip((*before, *chunk), (*_sectors(opening.before), *_sectors(opening.chunk)), strict=True))
    indices = sorted(shown)
    sectors = [shown[place] for place in indices]
    if not verify_multiproof(replica, seal.replica_size, indices, sectors, opening.siblings):
        raise SealError(SealFault.PROOF, index)
    if leaf_digest(unseal_chunk(seal, index, opening.chunk, opening.before)) != leaf:
        raise SealError(SealFault.LEAF, index)


def _unseal(seal: Seal, index: int, chunk: bytes, before: bytes) -> bytes:
    """Count blocks through all passes: the one before the first of a pass is then the last of the pass before."""
    if index > 0:
        return unseal_window(before[-seal.passes * BLOCK_BYTES :] + chunk, seal.passes, seal.key)
    if len(chunk) + len(before) == seal.replica_size:
        return _unseal_whole(seal, chunk + before)[: len(chunk)]
    if seal.passes == 1:
        return unseal_blocks(chunk, NO_BLOCK, seal.key)
    ends = unseal_window(before[-seal.passes * BLOCK_BYTES :], 1, seal.key)
    return unseal_blocks(unseal_window(ends + chunk, seal.passes - 1, seal.key), NO_BLOCK, seal.key)


def _unseal_whole(seal: Seal, replica: bytes) -> bytes:
    for _ in range(seal.passes - 1):
        rest = unseal_window(replica, 1, seal.key)
        replica = unseal_blocks(replica[:BLOCK_BYTES], rest[-BLOCK_BYTES:], seal.key) + rest
    return unseal_blocks(replica, NO_BLOCK, seal.key)


def _length(seal: Seal, sectors: range) -> int:
    """Bytes of a run of sectors."""
    return min(sectors.stop * SECTOR_BYTES, seal.replica_size) - sectors.start * SECTOR_BYTES if sectors else 0


def _sectors(data: bytes) -> Sequence[bytes]:
    return [data[start : start + SECTOR_BYTES] for start in range(0, len(data), SECTOR_BYTES)]
