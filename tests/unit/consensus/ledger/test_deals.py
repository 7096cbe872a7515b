"""Deals as a whole: opened, closed, expired."""

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import DealStatus, Piece
from consensus.primitives.integers import MAX_UINT63
from consensus.records.storage import CloseDeal, LeavePiece, PieceRoot
from tests.kit.deals import (
    ARTIFACT_BYTES,
    COPIES,
    PRICE,
    PROOFS,
    PROVIDERS,
    activate,
    add_provider,
    assignment,
    deal_message,
    deal_of,
    proof,
    provider_of,
    run_challenge,
    seal,
    start_deal,
    start_kept_deal,
)
from tests.kit.genesis import FUNDS
from tests.kit.ledger import held, start_ledger
from tests.kit.work import word

COST = PRICE * COPIES * PROOFS


def shards(count: int, size: int = 1_000) -> tuple[PieceRoot, ...]:
    return tuple(PieceRoot(root=word("shard", number), size=size) for number in range(count))


def test_opening_puts_the_pay_for_all_proofs_into_escrow() -> None:
    ledger, deal = start_deal()
    account = deal_of(ledger, deal)
    assert (account.escrow, account.proofs_left, account.status) == (COST, PROOFS, DealStatus.OPEN)
    assert account.pieces == (Piece(root=word("artifact"), size=ARTIFACT_BYTES),) * COPIES
    assert account.challenge_height is None
    assert ledger.account("client").balance == FUNDS - COST
    assert ledger.state.totals.open_deals == 1
    assert held(ledger.state) == ledger.state.totals.issued


@pytest.mark.parametrize(("first", "count"), [(1, 1), (1, 64), (6, 9), (64, 64)])
def test_opens_with_pieces_that_can_hold_the_artifact(first: int, count: int) -> None:
    ledger = start_ledger()
    pieces = shards(count) if first > 1 else (PieceRoot(root=word("artifact"), size=ARTIFACT_BYTES),) * count
    ledger.apply("client", deal_message(ledger, data_pieces=first, pieces=pieces, job=word("job")))


@pytest.mark.parametrize(
    "changes",
    [
        {"data_pieces": 0},
        {"data_pieces": 4},
        {"pieces": ()},
        {"pieces": (PieceRoot(root=word("artifact"), size=ARTIFACT_BYTES),) * 65},
        {"size": 0},
        {"size": ARTIFACT_BYTES + 1},
        {"root": word("another")},
        {"pieces": (PieceRoot(root=word("another"), size=ARTIFACT_BYTES),)},
        {"pieces": (PieceRoot(root=word("artifact"), size=ARTIFACT_BYTES - 1),)},
        {"data_pieces": 2, "pieces": shards(3, ARTIFACT_BYTES // 2 - 1)},
        {"data_pieces": 2, "pieces": (*shards(2, ARTIFACT_BYTES), *shards(1, ARTIFACT_BYTES + 1))},
        {"data_pieces": 2, "pieces": shards(3, 0)},
    ],
)
def test_refuses_pieces_that_cannot_be_those_of_the_artifact(changes: dict[str, object]) -> None:
    ledger = start_ledger()
    assert ledger.refusal("client", deal_message(ledger, **changes)) is Reject.DEAL_SHAPE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"proofs": 0}, Reject.AMOUNT),
        ({"proofs": MAX_UINT63}, Reject.AMOUNT),
        ({"price": MAX_UINT63}, Reject.AMOUNT),
        ({"price": FUNDS}, Reject.FUNDS),
        ({"sequence": 1}, Reject.SEQUENCE),
    ],
)
def test_refuses_to_open_with_a_single_fault(changes: dict[str, object], code: Reject) -> None:
    ledger = start_ledger()
    assert ledger.refusal("client", replace(deal_message(ledger), **changes)) is code


def test_closing_refunds_and_frees_every_provider() -> None:
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    seal(ledger, deal, 1, "east")
    ledger.apply("supervisor", assignment(ledger, deal, 2, "south"))
    ledger.apply("north", LeavePiece(deal=deal, piece=0, term=0))
    ledger.apply("supervisor", assignment(ledger, deal, 0, "west"))
    ledger.apply("client", CloseDeal(sequence=1, deal=deal))
    account = deal_of(ledger, deal)
    assert (account.status, account.escrow, account.challenge_height) == (DealStatus.CLOSED, 0, None)
    assert [piece.replicas for piece in account.pieces] == [()] * COPIES
    assert ledger.account("client").balance == FUNDS
    assert {ledger.account(name).locked for name in PROVIDERS} == {0}
    assert {provider_of(ledger, name).used for name in PROVIDERS} == {0}
    assert ledger.state.totals.open_deals == 0


def test_closing_in_an_open_challenge_pays_what_is_proved() -> None:
    ledger, deal = start_kept_deal()
    ledger.apply("north", proof(ledger, deal, 0, "north"))
    ledger.apply("client", CloseDeal(sequence=1, deal=deal))
    assert [ledger.account(name).balance for name in PROVIDERS[:COPIES]] == [PRICE, 0, 0]
    assert ledger.account("client").balance == FUNDS - PRICE
    assert held(ledger.state) == ledger.state.totals.issued


def test_close_refuses_a_single_fault() -> None:
    ledger, deal = start_deal()
    close = CloseDeal(sequence=1, deal=deal)
    assert ledger.refusal("other", replace(close, sequence=4)) is Reject.NOT_AUTHORISED
    assert ledger.refusal("client", replace(close, sequence=0)) is Reject.SEQUENCE
    assert ledger.refusal("client", replace(close, deal=word("no deal"))) is Reject.DEAL_UNKNOWN
    ledger.apply("client", close)
    assert ledger.refusal("client", replace(close, sequence=2)) is Reject.DEAL_STATE
    assert ledger.refusal("supervisor", assignment(ledger, deal, 0, "north")) is Reject.DEAL_STATE


def test_the_last_challenge_ends_the_deal_and_refunds_what_was_not_earned() -> None:
    ledger, deal = start_kept_deal(holders=2, proofs=2)
    run_challenge(ledger, deal, PROVIDERS)
    run_challenge(ledger, deal, ["north"])
    account = deal_of(ledger, deal)
    assert (account.status, account.proofs_left, account.paid) == (DealStatus.EXPIRED, 0, 3 * PRICE)
    assert [ledger.account(name).balance for name in ("north", "east")] == [2 * PRICE, PRICE]
    assert ledger.account("client").balance == FUNDS - 3 * PRICE
    assert ledger.account("east").locked == ledger.account("north").locked == 0
    assert ledger.state.totals.open_deals == 0
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_deal_for_nothing_runs_too() -> None:
    ledger, deal = start_kept_deal(price=0, collateral=0, proofs=1)
    run_challenge(ledger, deal, PROVIDERS)
    assert deal_of(ledger, deal).status is DealStatus.EXPIRED
    assert ledger.account("north").balance == 0


def test_two_deals_lock_one_stake_side_by_side() -> None:
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    other = ledger.apply("client", deal_message(ledger)).digest
    activate(ledger, other, 0, "north")
    assert ledger.account("north").locked == 2 * deal_of(ledger, deal).collateral
    add_provider(ledger, "spare")
    ledger.apply("client", CloseDeal(sequence=2, deal=deal))
    assert ledger.account("north").locked == deal_of(ledger, deal).collateral
