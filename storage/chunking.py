"""Cuts what arrives, in pieces of any size, into the chunks of the bulk digest, and groups of chunks into batches."""

from collections.abc import Iterable, Iterator
from itertools import islice

from consensus.primitives.digest import CHUNK_BYTES


def cut_chunks(data: bytes | bytearray | memoryview | Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Chunks of `CHUNK_BYTES` bytes, the last one shorter; holds no more than one chunk and one piece."""
    if isinstance(data, bytes | bytearray | memoryview):
        return _cut_buffer(memoryview(data).cast("B"))
    return _cut_pieces(data)


def groups_of(chunks: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of `size` chunks, the last one shorter."""
    while group := list(islice(chunks, size)):
        yield group


def _cut_buffer(view: memoryview) -> Iterator[bytes]:
    for start in range(0, len(view), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES])


def _cut_pieces(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    rest = bytearray()
    for piece in pieces:
        if not rest and len(piece) == CHUNK_BYTES and isinstance(piece, bytes):  # a chunk already: no copy
            yield piece
            continue
        rest += piece
        whole = len(rest) // CHUNK_BYTES * CHUNK_BYTES
        if whole:
            yield from _cut_buffer(memoryview(bytes(rest[:whole])))
            del rest[:whole]
    if rest:
        yield bytes(rest)
