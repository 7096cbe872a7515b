"""Stakes and offers of storage."""

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import Account, ProviderAccount
from consensus.ledger.providers import find_obstacle
from consensus.primitives.encoding import Record
from consensus.records.storage import OfferStorage, Stake, Unstake
from tests.kit.deals import COLLATERAL, STAKED, activate, add_provider, exclude, provider_of, start_deal
from tests.kit.genesis import FUNDS, public_key
from tests.kit.ledger import held, start_ledger


def test_a_stake_comes_from_the_balance_and_goes_back_to_it() -> None:
    ledger = start_ledger()
    ledger.apply("client", Stake(sequence=0, amount=FUNDS))
    assert ledger.account("client") == Account(stake=FUNDS, sequence=1)
    ledger.apply("client", Unstake(sequence=1, amount=FUNDS - 1))
    assert ledger.account("client") == Account(balance=FUNDS - 1, stake=1, sequence=2)
    assert held(ledger.state) == ledger.state.totals.issued


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (Stake(sequence=1, amount=0), Reject.AMOUNT),
        (Stake(sequence=1, amount=FUNDS), Reject.FUNDS),
        (Stake(sequence=0, amount=1), Reject.SEQUENCE),
        (Unstake(sequence=1, amount=0), Reject.AMOUNT),
        (Unstake(sequence=1, amount=6), Reject.STAKE),
        (Unstake(sequence=0, amount=5), Reject.SEQUENCE),
    ],
)
def test_refuses_to_move_a_stake_with_a_single_fault(broken: Record, code: Reject) -> None:
    ledger = start_ledger()
    ledger.apply("client", Stake(sequence=0, amount=5))
    assert ledger.refusal("client", broken) is code


def test_locked_collateral_is_not_taken_out_but_the_rest_is() -> None:
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    free = STAKED - COLLATERAL
    assert ledger.refusal("north", Unstake(sequence=2, amount=free + 1)) is Reject.STAKE
    ledger.apply("north", Unstake(sequence=2, amount=free))
    assert ledger.account("north") == Account(balance=free, stake=COLLATERAL, sequence=3, locked=COLLATERAL)


def test_an_offer_makes_a_provider_and_a_later_one_changes_it() -> None:
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    used = provider_of(ledger, "north").used
    assert used == 6_016
    ledger.apply("north", OfferStorage(sequence=2, node="attic", capacity=1))
    assert provider_of(ledger, "north") == ProviderAccount(node="attic", capacity=1, used=used)


@pytest.mark.parametrize("node", ["a", "a" * 64, "rack 7, left", "~!"])
def test_takes_a_printable_node_name(node: str) -> None:
    ledger = start_ledger()
    ledger.apply("client", OfferStorage(sequence=0, node=node, capacity=1))
    assert provider_of(ledger, "client").node == node


@pytest.mark.parametrize("node", ["", "a" * 65, "tab\t", "n\u00f6rd", "\u200b", "del\x7f"])
def test_refuses_another_node_name(node: str) -> None:
    assert start_ledger().refusal("client", OfferStorage(sequence=0, node=node, capacity=1)) is Reject.NODE_NAME


def test_refuses_an_offer_out_of_order_or_by_an_excluded_account() -> None:
    ledger = start_ledger()
    offer = OfferStorage(sequence=0, node="n", capacity=1)
    assert ledger.refusal("client", replace(offer, sequence=1)) is Reject.SEQUENCE
    exclude(ledger, "client")
    assert ledger.refusal("client", offer) is Reject.PROVIDER_EXCLUDED


def test_names_what_keeps_a_provider_from_taking_more() -> None:
    ledger = start_ledger()
    add_provider(ledger, "north", capacity=100, stake=10)
    key = public_key("north")
    assert find_obstacle(ledger.state, key, 100, 10) is None
    assert find_obstacle(ledger.state, public_key("client"), 1, 0) is Reject.PROVIDER_UNKNOWN
    assert find_obstacle(ledger.state, key, 101, 10) is Reject.CAPACITY
    assert find_obstacle(ledger.state, key, 100, 11) is Reject.STAKE
    suspended = ledger.state.with_provider(key, replace(provider_of(ledger, "north"), suspended=True))
    assert find_obstacle(suspended, key, 100, 10) is Reject.PROVIDER_SUSPENDED
    exclude(ledger, "north")
    assert find_obstacle(ledger.state, key, 100, 10) is Reject.PROVIDER_EXCLUDED
