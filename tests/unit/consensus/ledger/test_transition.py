"""Opening transactions, applying the body of a block, and the block reward."""

import pytest
from msgspec.structs import replace

from consensus.crypto.signing import Signed, sign
from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.rewards import issue_block_reward
from consensus.ledger.state import LedgerState
from consensus.ledger.transition import apply_block_body, apply_transaction, open_transaction
from consensus.primitives.integers import MAX_UINT63
from consensus.records.block import Vote
from consensus.records.transactions import Transfer
from tests.kit.genesis import PARAMS, public_key, secret_key
from tests.kit.ledger import TestLedger, held, start_ledger
from tests.kit.work import word


def transfer(sequence: int = 0) -> Transfer:
    return Transfer(sequence=sequence, recipient=public_key("other"), amount=1)


def refusal(ledger: TestLedger, signed: Signed) -> Reject:
    with pytest.raises(InvalidTransactionError) as caught:
        apply_transaction(ledger.state, signed, ledger.context)
    return caught.value.code


def test_refuses_an_envelope_with_a_single_fault() -> None:
    ledger = start_ledger()
    valid = ledger.sign("client", transfer())
    elsewhere = sign(secret_key("client"), word("another chain"), transfer())
    assert refusal(ledger, replace(valid, signer=public_key("other"))) is Reject.SIGNATURE
    assert refusal(ledger, replace(valid, signature=bytes(64))) is Reject.SIGNATURE
    assert refusal(ledger, elsewhere) is Reject.SIGNATURE
    assert refusal(ledger, replace(valid, body=b"junk")) is Reject.ENCODING
    assert refusal(ledger, ledger.sign("client", Vote(height=1, block=word("b")))) is Reject.ENCODING
    assert refusal(ledger, replace(valid, body=bytes(PARAMS.max_transaction_bytes + 1))) is Reject.OVERSIZED


def test_applies_transactions_in_order_and_seals_the_state() -> None:
    ledger = start_ledger()
    signed = [ledger.sign("client", transfer(sequence)) for sequence in range(3)]
    opened = [open_transaction(item, ledger.context) for item in signed]
    state = apply_block_body(ledger.state, opened, public_key("miner"), "pouw", ledger.context)
    assert state.account(public_key("client")).sequence == 3
    assert state.account(public_key("miner")).balance == PARAMS.block_reward
    assert not state.unhashed
    assert held(state) == state.totals.issued


def test_names_the_transaction_that_breaks_a_rule() -> None:
    ledger = start_ledger()
    opened = [open_transaction(ledger.sign("client", transfer(sequence)), ledger.context) for sequence in (0, 2)]
    with pytest.raises(InvalidTransactionError) as caught:
        apply_block_body(ledger.state, opened, public_key("miner"), "pouw", ledger.context)
    assert caught.value.code is Reject.SEQUENCE
    assert caught.value.detail["transaction"] == 1


def test_issues_no_reward_for_an_authority_block() -> None:
    state = LedgerState()
    assert issue_block_reward(state, public_key("miner"), "authority", PARAMS) is state


def test_never_issues_more_than_the_integers_hold() -> None:
    state = LedgerState().with_totals(issued=MAX_UINT63 - 3)
    full = issue_block_reward(state, public_key("miner"), "pouw", PARAMS)
    assert (full.totals.issued, full.account(public_key("miner")).balance) == (MAX_UINT63, 3)
    assert issue_block_reward(full, public_key("miner"), "pouw", PARAMS) is full
