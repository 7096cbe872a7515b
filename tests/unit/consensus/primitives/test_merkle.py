"""Merkle trees over chain objects."""

import hashlib

import pytest

from consensus.primitives.merkle import EMPTY_ROOT, is_included, leaf_hash, merkle_root, node_hash, prove_inclusion

ENTRIES = [bytes([number]) for number in range(7)]


def test_has_a_root_for_no_entries() -> None:
    assert merkle_root([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_has_the_shape_of_rfc_6962() -> None:
    a, b, c = (leaf_hash(entry) for entry in ENTRIES[:3])
    assert merkle_root(ENTRIES[:1]) == a
    assert merkle_root(ENTRIES[:3]) == node_hash(node_hash(a, b), c)


def test_depends_on_order() -> None:
    assert merkle_root(ENTRIES) != merkle_root(ENTRIES[::-1])


def test_never_takes_a_node_for_a_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert merkle_root([left + right]) != merkle_root([b"a", b"b"])


@pytest.mark.parametrize("count", range(1, 8))
def test_proves_each_entry(count: int) -> None:
    entries = ENTRIES[:count]
    for index, entry in enumerate(entries):
        path = prove_inclusion(entries, index)
        assert is_included(merkle_root(entries), entry, index, count, path)


def test_refuses_a_proof_with_one_fault() -> None:
    root, path = merkle_root(ENTRIES), prove_inclusion(ENTRIES, 2)
    assert not is_included(root, b"x", 2, 7, path)
    assert not is_included(root, ENTRIES[2], 3, 7, path)
    assert not is_included(root, ENTRIES[2], 2, 7, path[:-1])
    assert not is_included(root, ENTRIES[2], 2, 7, (*path, root))
    assert not is_included(root, ENTRIES[2], 2, 2, path)
    assert not is_included(root, ENTRIES[2], 7, 7, path)
    assert not is_included(root, ENTRIES[2], -1, 7, path)
    assert not is_included(EMPTY_ROOT, ENTRIES[2], 2, 7, path)


@pytest.mark.parametrize("index", [-1, 7])
def test_proves_nothing_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError):
        prove_inclusion(ENTRIES, index)
