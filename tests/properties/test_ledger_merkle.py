"""Merkle proofs: every entry can be proven, nothing else can."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.primitives.merkle import is_included, merkle_root, prove_inclusion

ENTRIES = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


@settings(deadline=None, max_examples=100)
@given(entries=ENTRIES, number=st.integers(0, 1_000))
def test_every_entry_has_a_proof(entries: list[bytes], number: int) -> None:
    index = number % len(entries)
    path = prove_inclusion(entries, index)
    assert is_included(merkle_root(entries), entries[index], index, len(entries), path)
    assert len(path) <= (len(entries) - 1).bit_length()


@settings(deadline=None, max_examples=100)
@given(entries=ENTRIES, number=st.integers(0, 1_000), forged=st.binary(max_size=8))
def test_no_other_entry_has_one(entries: list[bytes], number: int, forged: bytes) -> None:
    index = number % len(entries)
    path = prove_inclusion(entries, index)
    assert is_included(merkle_root(entries), forged, index, len(entries), path) == (forged == entries[index])


@settings(deadline=None, max_examples=100)
@given(entries=ENTRIES, number=st.integers(0, 1_000), changed=st.integers(0, 1_000), bit=st.integers(0, 255))
def test_a_changed_path_proves_nothing(entries: list[bytes], number: int, changed: int, bit: int) -> None:
    index = number % len(entries)
    path = list(prove_inclusion(entries, index))
    if not path:
        return
    changed %= len(path)
    path[changed] = (int.from_bytes(path[changed], "big") ^ (1 << bit)).to_bytes(32, "big")
    assert not is_included(merkle_root(entries), entries[index], index, len(entries), path)


@settings(deadline=None, max_examples=100)
@given(first=ENTRIES, second=ENTRIES)
def test_different_lists_have_different_roots(first: list[bytes], second: list[bytes]) -> None:
    assert (merkle_root(first) == merkle_root(second)) == (first == second)
