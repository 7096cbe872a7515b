"""The ledger as a value: rebuilt from its entries, compared, counted."""

import pytest

from consensus.errors import EncodingError
from consensus.ledger.entries import (
    Account,
    ProviderAccount,
    Totals,
    account_key,
    deal_key,
    decode_entry,
    provider_key,
    round_key,
)
from consensus.ledger.state import LedgerState, state_root
from consensus.primitives.encoding import encode
from consensus.primitives.merkle import EMPTY_ROOT
from tests.kit.deals import start_kept_deal
from tests.kit.genesis import public_key
from tests.kit.ledger import start_ledger
from tests.kit.work import word


def test_rebuilds_from_its_entries() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    rebuilt = LedgerState.from_entries(ledger.state.entries())
    assert rebuilt == ledger.state
    assert state_root(rebuilt) == state_root(ledger.state)


def test_rebuilds_providers_and_deals_from_its_entries() -> None:
    ledger, deal = start_kept_deal()
    rebuilt = LedgerState.from_entries(ledger.state.entries())
    assert rebuilt == ledger.state
    assert state_root(rebuilt) == state_root(ledger.state)
    changed = dict(ledger.state.diff(start_ledger().state))
    assert deal_key(deal) in changed
    assert provider_key(public_key("north")) in changed


def test_rebuilds_from_nothing() -> None:
    assert LedgerState.from_entries([]) == LedgerState()
    assert state_root(LedgerState()) == EMPTY_ROOT


@pytest.mark.parametrize(
    "key", [b"", b"a", b"a" + bytes(33), b"x" + bytes(32), b"tt", b"r" + bytes(32), b"d", b"p" + bytes(31)]
)
def test_refuses_a_key_that_is_none(key: bytes) -> None:
    with pytest.raises(EncodingError, match="not a ledger key"):
        LedgerState.from_entries([(key, encode(Account()))])


def test_refuses_a_value_of_another_kind() -> None:
    with pytest.raises(EncodingError, match="not a Account"):
        decode_entry(account_key(public_key("a")), encode(Totals()))


def test_tells_what_changed() -> None:
    ledger = start_ledger()
    job = ledger.open_job()
    ledger.commit(job, 0)
    before = ledger.state.sealed()
    assert ledger.state.diff(before) == ()
    ledger.settle(job, 1)
    changes = dict(ledger.state.diff(before))
    assert changes[round_key(job, 0)] is None
    assert set(changes) == {
        round_key(job, 0),
        b"j" + job,
        account_key(public_key("miner")),
        account_key(public_key("rival")),
    }


def test_a_difference_applied_gives_the_new_state() -> None:
    ledger = start_ledger()
    old = ledger.state
    ledger.commit(ledger.open_job(), 0)
    stored: dict[bytes, bytes | None] = {**dict(old.entries()), **dict(ledger.state.diff(old))}
    assert LedgerState.from_entries((key, value) for key, value in stored.items() if value) == ledger.state


def test_root_commits_to_every_entry() -> None:
    state = LedgerState().with_account(public_key("a"), Account(balance=1))
    others = [
        state.with_account(public_key("a"), Account(balance=2)),
        state.with_account(public_key("b"), Account()),
        state.with_totals(treasury=1),
        state.with_totals(open_jobs=1),
        state.with_totals(open_deals=1),
        state.with_provider(public_key("a"), ProviderAccount(node="n", capacity=1)),
        state.with_provider(public_key("a"), ProviderAccount(node="m", capacity=1)),
    ]
    assert len({state_root(other) for other in [state, *others]}) == 8


def test_an_unknown_account_is_empty() -> None:
    assert LedgerState().account(public_key("nobody")) == Account()


def test_pending_rounds_of_an_unknown_job_are_an_error() -> None:
    with pytest.raises(KeyError):
        LedgerState().pending_rounds(word("no job"))
