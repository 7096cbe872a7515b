"""A persistent Merkle tree over the ledger's entries, so that a block re-hashes only what it touched.

An entry's place is the SHA-256 of its key, read bit by bit from the root; a subtree that holds one entry is that
entry's leaf. The shape, and so the root, depends on the entries alone: not on their order, nor on what was there
before. Nodes are shared between versions, which also makes the difference of two versions cheap to find.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from consensus.primitives.merkle import EMPTY_ROOT, node_hash


class Leaf(NamedTuple):
    """One entry. `path` is the hash of its key."""

    path: bytes
    key: bytes
    value: bytes
    hash: Digest


class Branch(NamedTuple):
    """Two subtrees that hold two entries at least."""

    left: "Tree"
    right: "Tree"
    hash: Digest


Tree: TypeAlias = Leaf | Branch | None
_Change: TypeAlias = tuple[bytes, Leaf | None]


def tree_root(tree: Tree) -> Digest:
    """What the tree commits to: every key and value."""
    return EMPTY_ROOT if tree is None else tree.hash


def updated(tree: Tree, changes: Mapping[bytes, bytes | None]) -> Tree:
    """The tree after setting each key to its value, or removing it where the value is None."""
    return _merged(tree, [_change(key, value) for key, value in changes.items()], 0)


def entries(tree: Tree) -> Iterator[tuple[bytes, bytes]]:
    """Every key and value, in the order of their paths."""
    return ((leaf.key, leaf.value) for leaf in _leaves(tree))


def differences(new: Tree, old: Tree) -> Iterator[tuple[bytes, bytes | None]]:
    """What has to be set, or removed (None), to come from `old` to `new`. Subtrees both share are not walked."""
    if tree_root(new) == tree_root(old):
        return
    if isinstance(new, Branch) and isinstance(old, Branch):
        yield from differences(new.left, old.left)
        yield from differences(new.right, old.right)
        return
    before, after = dict(entries(old)), dict(entries(new))
    yield from ((key, None) for key in before if key not in after)
    yield from ((key, value) for key, value in after.items() if before.get(key) != value)


def _change(key: bytes, value: bytes | None) -> _Change:
    path = hashlib.sha256(key).digest()
    if value is None:
        return path, None
    return path, Leaf(path, key, value, sha256("pouw/ledger-entry/1", key, value))


def _merged(tree: Tree, changes: list[_Change], depth: int) -> Tree:
    """`tree`, whose paths share their first `depth` bits, after changes under the same bits."""
    if not changes:
        return tree
    if isinstance(tree, Branch):
        left, right = _split(changes, depth)
        return _joined(_merged(tree.left, left, depth + 1), _merged(tree.right, right, depth + 1))
    kept: dict[bytes, Leaf | None] = {} if tree is None else {tree.path: tree}
    kept.update(changes)
    return _built([(path, leaf) for path, leaf in kept.items() if leaf is not None], depth)


def _built(changes: list[_Change], depth: int) -> Tree:
    """A new subtree of these leaves."""
    if not changes:
        return None
    if len(changes) == 1:
        return changes[0][1]
    left, right = _split(changes, depth)
    return _joined(_built(left, depth + 1), _built(right, depth + 1))


def _split(changes: list[_Change], depth: int) -> tuple[list[_Change], list[_Change]]:
    byte, bit = depth >> 3, 0x80 >> (depth & 7)
    halves: tuple[list[_Change], list[_Change]] = ([], [])
    for change in changes:
        halves[1 if change[0][byte] & bit else 0].append(change)
    return halves


def _joined(left: Tree, right: Tree) -> Tree:
    """One subtree of two. A leaf that is alone moves up, which keeps the shape free of history."""
    if left is None and not isinstance(right, Branch):
        return right
    if right is None and not isinstance(left, Branch):
        return left
    return Branch(left, right, node_hash(tree_root(left), tree_root(right)))


def _leaves(tree: Tree) -> Iterator[Leaf]:
    if isinstance(tree, Leaf):
        yield tree
    elif tree is not None:
        yield from _leaves(tree.left)
        yield from _leaves(tree.right)
