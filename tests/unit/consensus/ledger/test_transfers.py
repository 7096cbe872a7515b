"""Transfers."""

import pytest

from consensus.errors import Reject
from consensus.records.transactions import Transfer
from tests.kit.genesis import FUNDS, public_key
from tests.kit.ledger import held, start_ledger


def transfer(sequence: int = 0, amount: int = 7, recipient: str = "other") -> Transfer:
    return Transfer(sequence=sequence, recipient=public_key(recipient), amount=amount)


def test_moves_credits() -> None:
    ledger = start_ledger()
    ledger.apply("client", transfer())
    assert (ledger.account("client").balance, ledger.account("other").balance) == (FUNDS - 7, FUNDS + 7)
    assert (ledger.account("client").sequence, ledger.account("other").sequence) == (1, 0)


def test_opens_the_account_of_a_new_recipient() -> None:
    ledger = start_ledger()
    ledger.apply("client", transfer(recipient="newcomer"))
    assert ledger.account("newcomer").balance == 7


def test_can_move_everything_and_to_oneself() -> None:
    ledger = start_ledger()
    ledger.apply("client", transfer(amount=FUNDS, recipient="client"))
    assert ledger.account("client").balance == FUNDS
    assert held(ledger.state) == ledger.state.totals.issued


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (transfer(amount=0), Reject.AMOUNT),
        (transfer(amount=FUNDS + 1), Reject.FUNDS),
        (transfer(sequence=1), Reject.SEQUENCE),
    ],
)
def test_refuses_a_single_fault(broken: Transfer, code: Reject) -> None:
    assert start_ledger().refusal("client", broken) is code


def test_refuses_a_transfer_sent_again() -> None:
    ledger = start_ledger()
    ledger.apply("client", transfer())
    assert ledger.refusal("client", transfer()) is Reject.SEQUENCE


def test_refuses_a_spender_without_an_account() -> None:
    assert start_ledger().refusal("stranger", transfer()) is Reject.FUNDS
