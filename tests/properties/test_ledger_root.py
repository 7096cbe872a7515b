"""The state root depends on what the ledger holds: not on the order, and not on how it came to hold it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.ledger.entries import Account
from consensus.ledger.state import LedgerState, state_root
from consensus.ledger.tree import differences, entries, tree_root, updated
from consensus.primitives.integers import PublicKey
from tests.kit.work import word

KEYS = st.integers(0, 40).map(lambda number: str(number).encode())
CONTENTS = st.dictionaries(KEYS, st.binary(min_size=1, max_size=3), max_size=30)
CHANGES = st.lists(st.dictionaries(KEYS, st.one_of(st.none(), st.binary(min_size=1, max_size=3)), max_size=8))


@settings(deadline=None, max_examples=100)
@given(data=st.data(), contents=CONTENTS)
def test_root_is_independent_of_insertion_order(data: st.DataObject, contents: dict[bytes, bytes]) -> None:
    tree = None
    for key, value in data.draw(st.permutations(list(contents.items()))):
        tree = updated(tree, {key: value})
    assert tree == updated(None, contents)


@settings(deadline=None, max_examples=100)
@given(contents=CONTENTS, steps=CHANGES)
def test_incremental_changes_equal_a_build_from_scratch(
    contents: dict[bytes, bytes], steps: list[dict[bytes, bytes | None]]
) -> None:
    tree, model = updated(None, contents), dict(contents)
    for changes in steps:
        tree = updated(tree, changes)
        model = {key: value for key, value in {**model, **changes}.items() if value is not None}
        assert tree == updated(None, model)
        assert dict(entries(tree)) == model


@settings(deadline=None, max_examples=100)
@given(old=CONTENTS, new=CONTENTS)
def test_a_difference_leads_from_one_to_the_other(old: dict[bytes, bytes], new: dict[bytes, bytes]) -> None:
    before, after = updated(None, old), updated(None, new)
    changes = dict(differences(after, before))
    assert updated(before, changes) == after
    assert all(old.get(key) != new.get(key) for key in changes)
    assert (tree_root(before) == tree_root(after)) == (old == new)


@settings(deadline=None, max_examples=50)
@given(amounts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.booleans()), max_size=30))
def test_sealing_at_any_time_gives_the_same_root(amounts: list[tuple[int, int, bool]]) -> None:
    eager = lazy = LedgerState()
    for name, balance, seals in amounts:
        key = PublicKey(word("account", name))
        lazy = lazy.with_account(key, Account(balance=balance))
        eager = eager.with_account(key, Account(balance=balance))
        eager = eager.sealed() if seals else eager
    assert state_root(eager) == state_root(lazy) == state_root(LedgerState.from_entries(lazy.entries()))
