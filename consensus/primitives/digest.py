"""Two hash families: SHA-256 with a domain tag for chain objects, a BLAKE3 chunk tree for bulk data.

The bulk digest commits to weights, updates and files alike: BLAKE3 leaves over 256 KiB chunks, an RFC 6962 shaped tree
above them, and a root that binds the number of bytes and what the bytes mean (`binding`, for example a layout digest).
The same root serves as a step's weight digest, as an artifact's address and as what a storage challenge is answered
against. Domains are separated by BLAKE3's key derivation context, so no prefix has to be copied in front of a chunk.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from consensus.primitives.integers import ZERO_DIGEST, Digest

CHUNK_BYTES: Final = 256 * 1024
_LEAF_CONTEXT: Final = "pouw 2026 bulk digest leaf"
_NODE_CONTEXT: Final = "pouw 2026 bulk digest node"
_ROOT_CONTEXT: Final = "pouw 2026 bulk digest root"


def sha256(tag: str, *parts: bytes) -> Digest:
    """SHA-256 over a domain tag and length-prefixed parts, so that no two lists of parts collide."""
    state = hashlib.sha256(_prefixed(tag.encode()))
    for part in parts:
        state.update(_prefixed(part))
    return Digest(state.digest())


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def leaf_digest(chunk: bytes | memoryview) -> Digest:
    """The leaf of one chunk of at most `CHUNK_BYTES` bytes. Releases the interpreter lock while hashing."""
    return Digest(blake3(chunk, derive_key_context=_LEAF_CONTEXT).digest())


def chunk_count(size_bytes: int) -> int:
    """How many chunks `size_bytes` bytes make; zero bytes make none."""
    return -(-size_bytes // CHUNK_BYTES)


def leaf_digests(data: bytes | memoryview) -> list[Digest]:
    """The leaves of a contiguous buffer, read in place."""
    view = memoryview(data).cast("B")
    return [leaf_digest(view[start : start + CHUNK_BYTES]) for start in range(0, len(view), CHUNK_BYTES)]


def bulk_root(leaves: Sequence[Digest], size_bytes: int, binding: Digest = ZERO_DIGEST) -> Digest:
    """The bulk digest of `size_bytes` bytes with these leaves, bound to what the bytes mean."""
    tree = _tree_root(leaves) if leaves else ZERO_DIGEST
    message = tree + size_bytes.to_bytes(8, "big") + binding
    return Digest(blake3(message, derive_key_context=_ROOT_CONTEXT).digest())


def bulk_digest(data: bytes | memoryview, binding: Digest = ZERO_DIGEST) -> Digest:
    """The bulk digest of a contiguous buffer, read in place."""
    view = memoryview(data).cast("B")
    return bulk_root(leaf_digests(view), len(view), binding)


def _tree_root(leaves: Sequence[Digest]) -> Digest:
    """RFC 6962 shape: the left subtree holds the largest power of two smaller than the number of leaves.

    Pairing level by level and carrying an odd last node upwards gives that very shape.
    """
    level = list(leaves)
    while len(level) > 1:
        paired = [_node_digest(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def _node_digest(left: Digest, right: Digest) -> Digest:
    return Digest(blake3(left + right, derive_key_context=_NODE_CONTEXT).digest())
