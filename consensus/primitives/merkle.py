"""RFC 6962 Merkle trees over SHA-256 for chain objects: roots, inclusion proofs and their check.

Leaves and inner nodes are hashed under different prefixes, so a node can never be passed off as a leaf.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from consensus.primitives.integers import Digest

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"
EMPTY_ROOT: Final = Digest(hashlib.sha256(b"").digest())


def leaf_hash(entry: bytes) -> Digest:
    """The hash of one entry as a leaf."""
    return Digest(hashlib.sha256(_LEAF + entry).digest())


def node_hash(left: Digest, right: Digest) -> Digest:
    """The hash of an inner node."""
    return Digest(hashlib.sha256(_NODE + left + right).digest())


def merkle_root(entries: Sequence[bytes]) -> Digest:
    """The root over entries in order; the empty list has the root `EMPTY_ROOT`."""
    return root_of_leaves([leaf_hash(entry) for entry in entries])


def root_of_leaves(leaves: Sequence[Digest]) -> Digest:
    """The root over leaf hashes that are already known."""
    level = list(leaves)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0] if level else EMPTY_ROOT


def prove_inclusion(entries: Sequence[bytes], index: int) -> tuple[Digest, ...]:
    """The audit path of entry `index`, from the leaf upwards.

    Raises:
        IndexError: there is no such entry.
    """
    if not 0 <= index < len(entries):
        raise IndexError(index)
    path: list[Digest] = []
    level = [leaf_hash(entry) for entry in entries]
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
        index //= 2
    return tuple(path)


def is_included(root: Digest, entry: bytes, index: int, count: int, path: Sequence[Digest]) -> bool:
    """Whether `entry` is number `index` of the `count` entries under `root`, by its audit path."""
    if not 0 <= index < count:
        return False
    node, remaining = leaf_hash(entry), list(path)
    while count > 1:
        if index ^ 1 < count:
            if not remaining:
                return False
            sibling = remaining.pop(0)
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index, count = index // 2, (count + 1) // 2
    return not remaining and node == root
