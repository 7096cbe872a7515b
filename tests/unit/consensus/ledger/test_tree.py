"""The Merkle tree of the ledger."""

import hashlib

from consensus.ledger.tree import Branch, Leaf, differences, entries, tree_root, updated
from consensus.primitives.digest import sha256
from consensus.primitives.merkle import EMPTY_ROOT, node_hash


def path(key: bytes) -> str:
    return f"{int.from_bytes(hashlib.sha256(key).digest(), 'big'):0256b}"


def keys_with(prefix: str, count: int) -> list[bytes]:
    """Keys whose paths start with these bits."""
    found = (str(number).encode() for number in range(100_000))
    return [key for key in found if path(key).startswith(prefix)][:count]


def test_one_entry_is_a_leaf_at_the_root() -> None:
    tree = updated(None, {b"key": b"value"})
    assert isinstance(tree, Leaf)
    assert tree_root(tree) == sha256("pouw/ledger-entry/1", b"key", b"value")


def test_places_entries_by_the_bits_of_their_key() -> None:
    (left,), (right,) = keys_with("0", 1), keys_with("1", 1)
    tree = updated(None, {right: b"r", left: b"l"})
    leaves = [sha256("pouw/ledger-entry/1", left, b"l"), sha256("pouw/ledger-entry/1", right, b"r")]
    assert tree_root(tree) == node_hash(*leaves)
    assert list(entries(tree)) == [(left, b"l"), (right, b"r")]


def test_a_shared_prefix_makes_a_chain_of_branches() -> None:
    first, second = keys_with("0000", 1)[0], keys_with("0001", 1)[0]
    tree = updated(None, {first: b"1", second: b"2"})
    depth = 0
    while isinstance(tree, Branch) and tree.right is None:
        tree, depth = tree.left, depth + 1
    assert depth == 3


def test_a_leaf_that_is_left_alone_moves_up() -> None:
    keys = keys_with("0000", 3)
    full = updated(None, dict.fromkeys(keys, b"v"))
    alone = updated(full, {keys[0]: None, keys[1]: None})
    assert alone == updated(None, {keys[2]: b"v"})
    assert updated(alone, {keys[2]: None}) is None
    assert tree_root(None) == EMPTY_ROOT


def test_removing_what_is_not_there_changes_nothing() -> None:
    tree = updated(None, {b"a": b"1", b"b": b"2"})
    assert updated(tree, {b"c": None}) == tree
    assert updated(tree, {}) is tree


def test_shares_what_did_not_change() -> None:
    left, right = keys_with("0", 4), keys_with("1", 4)
    before = updated(None, dict.fromkeys(left + right, b"v"))
    after = updated(before, {left[0]: b"w"})
    assert isinstance(before, Branch)
    assert isinstance(after, Branch)
    assert after.right is before.right
    assert list(differences(after, before)) == [(left[0], b"w")]
