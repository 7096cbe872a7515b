"""Reed-Solomon shards of an artifact: any k of its n shards are enough to have it back, or to make a lost one again.

The bytes are cut into stripes of k chunks, and each stripe makes one chunk of every shard. Shards 0..k-1 are
systematic: shard i is every k-th chunk of the artifact as it is, so both share these chunks where both are kept.
In the last stripe the rest is cut into k parts of equal width, zero padded; so shards are at most one byte longer than
a k-th of the artifact. Only a few stripes are in memory. The arithmetic is zfec's; that the bytes are the right ones is
for the caller to check against the shards' roots.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, Self

import zfec

from consensus.primitives.digest import CHUNK_BYTES
from storage.chunking import cut_chunks, groups_of
from storage.errors import ErasureError

MAX_SHARDS: Final = 256
Data = bytes | bytearray | memoryview | Iterable[bytes | memoryview]


class _Encoder(Protocol):
    def encode(self, blocks: Sequence[bytes], numbers: Sequence[int]) -> list[bytes]: ...


class _Decoder(Protocol):
    def decode(self, blocks: Sequence[bytes], numbers: Sequence[int]) -> list[bytes]: ...


class ErasureCode:
    """k data shards, n shards in all. Make one with `of`."""

    def __init__(self, data_shards: int, total_shards: int, encoder: _Encoder, decoder: _Decoder) -> None:
        self.data_shards = data_shards
        self.total_shards = total_shards
        self._encoder = encoder
        self._decoder = decoder

    @classmethod
    def of(cls, data_shards: int, total_shards: int) -> Self:
        """Raises ErasureError unless 1 <= k <= n <= `MAX_SHARDS`."""
        if not 1 <= data_shards <= total_shards <= MAX_SHARDS:
            raise ErasureError(
                f"{data_shards} of {total_shards} shards: there are 1 to {MAX_SHARDS}, no more data than all"
            )
        encoder, decoder = zfec.Encoder(data_shards, total_shards), zfec.Decoder(data_shards, total_shards)
        return cls(data_shards, total_shards, encoder, decoder)

    def shard_size(self, size_bytes: int) -> int:
        """Bytes of each shard of an artifact of `size_bytes` bytes."""
        return sum(self._widths(size_bytes))

    def encode(self, data: Data) -> Iterator[tuple[bytes, ...]]:
        """Rows of n chunks, one of every shard, in order. Memory: one row."""
        return self._encode(data, tuple(range(self.total_shards)))

    def encode_shard(self, data: Data, shard: int) -> Iterator[bytes]:
        """The chunks of one shard. Raises ErasureError: there is no such shard."""
        self._check_shard(shard)
        return (row[0] for row in self._encode(data, (shard,)))

    def decode(self, shards: Mapping[int, Iterable[bytes | memoryview]], size_bytes: int) -> Iterator[bytes]:
        """The chunks of the artifact, from any k shards. Of more, those are read that need the least arithmetic.

        Raises:
            ErasureError: too few shards, an unknown one, or one that is shorter or longer than it should be.
        """
        rows = self._rows(shards, size_bytes)
        restored = (block for chosen, blocks in rows for block in self._restore(chosen, blocks))
        return cut_chunks(_first_bytes(restored, size_bytes))  # the narrow blocks of the last stripe become chunks

    def repair(self, shards: Mapping[int, Iterable[bytes | memoryview]], lost: int, size_bytes: int) -> Iterator[bytes]:
        """The chunks of one lost shard; reads exactly k shards, each of them once. Raises as `decode`."""
        self._check_shard(lost)
        rows = self._rows({number: data for number, data in shards.items() if number != lost}, size_bytes)
        return (self._rebuild(lost, chosen, blocks) for chosen, blocks in rows)

    def _widths(self, size_bytes: int) -> Iterator[int]:
        """Bytes of a shard's chunk in each stripe."""
        whole, rest = divmod(size_bytes, self.data_shards * CHUNK_BYTES)
        for _ in range(whole):
            yield CHUNK_BYTES
        if rest:
            yield -(-rest // self.data_shards)

    def _encode(self, data: Data, wanted: tuple[int, ...]) -> Iterator[tuple[bytes, ...]]:
        is_data = all(number < self.data_shards for number in wanted)
        for chunks in groups_of(cut_chunks(data), self.data_shards):
            stripe = self._whole_stripe(chunks)
            if is_data:
                yield tuple(stripe[number] for number in wanted)
            else:
                yield tuple(self._encoder.encode(stripe, wanted))

    def _whole_stripe(self, chunks: Sequence[bytes]) -> tuple[bytes, ...]:
        """As many blocks as data shards, of one width. Only the last stripe is cut anew."""
        if len(chunks) == self.data_shards and len(chunks[-1]) == CHUNK_BYTES:
            return tuple(chunks)
        rest = b"".join(chunks)
        width = -(-len(rest) // self.data_shards)
        padded = rest.ljust(width * self.data_shards, b"\0")
        return tuple(padded[start : start + width] for start in range(0, len(padded), width))

    def _rows(
        self, shards: Mapping[int, Iterable[bytes | memoryview]], size_bytes: int
    ) -> Iterator[tuple[tuple[int, ...], tuple[bytes, ...]]]:
        """Numbers and chunks of k shards, stripe by stripe. The numbers are checked before anything is read."""
        for number in shards:
            self._check_shard(number)
        chosen = tuple(sorted(shards)[: self.data_shards])
        if len(chosen) < self.data_shards:
            missing = tuple(number for number in range(self.total_shards) if number not in shards)
            raise ErasureError(f"{self.data_shards} shards are needed, {len(chosen)} are here", missing)
        streams = tuple(cut_chunks(shards[number]) for number in chosen)
        return self._read_rows(chosen, streams, size_bytes)

    def _read_rows(
        self, chosen: tuple[int, ...], streams: Sequence[Iterator[bytes]], size_bytes: int
    ) -> Iterator[tuple[tuple[int, ...], tuple[bytes, ...]]]:
        for width in self._widths(size_bytes):
            blocks = tuple(next(stream, b"") for stream in streams)
            self._check_lengths(chosen, blocks, width)
            yield chosen, blocks
        self._check_lengths(chosen, tuple(next(stream, b"") for stream in streams), 0)

    def _check_lengths(self, chosen: Sequence[int], blocks: Sequence[bytes], width: int) -> None:
        wrong = tuple(number for number, block in zip(chosen, blocks, strict=True) if len(block) != width)
        if wrong:
            raise ErasureError("shards do not have the size that the artifact's size gives them", wrong)

    def _restore(self, chosen: tuple[int, ...], blocks: tuple[bytes, ...]) -> Sequence[bytes]:
        """The k data blocks of a stripe."""
        if chosen == tuple(range(self.data_shards)):
            return blocks
        return self._decoder.decode(blocks, chosen)

    def _rebuild(self, lost: int, chosen: tuple[int, ...], blocks: tuple[bytes, ...]) -> bytes:
        data = tuple(self._restore(chosen, blocks))
        return data[lost] if lost < self.data_shards else self._encoder.encode(data, (lost,))[0]

    def _check_shard(self, number: int) -> None:
        if not 0 <= number < self.total_shards:
            raise ErasureError(f"there are shards 0 to {self.total_shards - 1}", (number,))


def _first_bytes(blocks: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    left = size_bytes
    for block in blocks:
        yield block[:left] if left < len(block) else block
        left = max(0, left - len(block))
