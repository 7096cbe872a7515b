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
    """Each byte is copied once, and not at all where a piece is a chunk already."""
    rest = bytearray()
    for piece in pieces:
        if not rest and len(piece) == CHUNK_BYTES and isinstance(piece, bytes):
            yield piece
            continue
        view = memoryview(piece).cast("B")
        if rest:
            missing = CHUNK_BYTES - len(rest)
            rest += view[:missing]
            view = view[missing:]
            if len(rest) < CHUNK_BYTES:
                continue
            yield bytes(rest)
            rest.clear()
        whole = len(view) // CHUNK_BYTES * CHUNK_BYTES
        yield from _cut_buffer(view[:whole])
        rest += view[whole:]
    if rest:
        yield bytes(rest)
