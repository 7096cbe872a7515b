"""Challenges, their proofs and their settlement, reports of bad service, pulses."""

from collections.abc import Callable
from dataclasses import replace as with_fields

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import DealStatus
from consensus.ledger.state import state_root
from consensus.primitives.integers import Digest, Height
from consensus.records.storage import CloseDeal, DealId, OfferStorage, PieceRoot, ProveStorage, Pulse, ReportService
from tests.kit.deals import (
    COLLATERAL,
    PRICE,
    PROOFS,
    PROVIDERS,
    STAKED,
    activate,
    deal_of,
    exclude,
    holder_of,
    piece_of,
    proof,
    provider_of,
    reach_challenge,
    run_challenge,
    seal,
    settlement,
    start_deal,
    start_kept_deal,
)
from tests.kit.genesis import PARAMS
from tests.kit.ledger import TestLedger, held
from tests.kit.work import word

FIRST = 1 + PARAMS.challenge_interval


def report(ledger: TestLedger, deal: DealId, piece: int = 0, **changes: object) -> ReportService:
    height = deal_of(ledger, deal).challenge_height
    message = ReportService(deal=deal, piece=piece, term=0, height=height or Height(0), reason="no answer")
    return replace(message, **changes)


@pytest.mark.parametrize("late", [1, 2])
def test_takes_a_proof_until_the_deadline(late: int) -> None:
    ledger, deal = start_kept_deal()
    ledger.move_to(FIRST + late)
    ledger.apply("north", proof(ledger, deal, 0, "north"))
    assert holder_of(ledger, deal).proved
    assert not holder_of(ledger, deal, 1).proved


@pytest.mark.parametrize("size", [1, 64, 1_024, 1_025, 3_000, 300_000])
def test_takes_a_proof_of_a_replica_of_any_size(size: int) -> None:
    copy = PieceRoot(root=word("artifact"), size=size)
    ledger, deal = start_deal(size=size, pieces=(copy,))
    ledger.apply("north", OfferStorage(sequence=2, node="north", capacity=1_000_000))
    activate(ledger, deal, 0, "north")
    reach_challenge(ledger, deal)
    ledger.apply("north", proof(ledger, deal, 0, "north"))


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda m: replace(m, deal=word("no deal")), Reject.DEAL_UNKNOWN),
        (lambda m: replace(m, piece=3), Reject.PIECE_UNKNOWN),
        (lambda m: replace(m, height=Height(m.height + 1)), Reject.CHALLENGE),
        (lambda m: replace(m, height=Height(m.height - 1)), Reject.CHALLENGE),
        (lambda m: replace(m, sectors=m.sectors[:-1]), Reject.STORAGE_PROOF),
        (lambda m: replace(m, sectors=(bytes(1024), *m.sectors[1:])), Reject.STORAGE_PROOF),
        (lambda m: replace(m, sectors=m.sectors[::-1]), Reject.STORAGE_PROOF),
        (lambda m: replace(m, siblings=(*m.siblings, word("more"))), Reject.STORAGE_PROOF),
        (lambda m: replace(m, siblings=m.siblings[1:]), Reject.STORAGE_PROOF),
    ],
)
def test_refuses_a_proof_with_a_single_fault(break_it: Callable[[ProveStorage], ProveStorage], code: Reject) -> None:
    ledger, deal = start_kept_deal()
    valid = proof(ledger, deal, 0, "north")
    assert ledger.refusal("north", break_it(valid)) is code
    assert ledger.refusal("east", valid) is Reject.NOT_AUTHORISED
    ledger.apply("north", valid)
    assert ledger.refusal("north", valid) is Reject.PROOF_REPEATED


def test_refuses_a_proof_before_the_challenge_after_the_deadline_or_without_a_beacon() -> None:
    ledger, deal = start_kept_deal()
    valid = proof(ledger, deal, 0, "north")
    ledger.move_to(FIRST)
    assert ledger.refusal("north", valid) is Reject.CHALLENGE
    ledger.move_to(FIRST + PARAMS.deadline_blocks + 1)
    assert ledger.refusal("north", valid) is Reject.PROOF_LATE
    ledger.move_to(FIRST + 1)
    ledger.context = with_fields(ledger.context, beacon=_no_beacon)
    assert ledger.refusal("north", valid) is Reject.CHALLENGE


def test_a_piece_is_challenged_only_if_it_was_active_before() -> None:
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    ledger.move_to(FIRST)
    activate(ledger, deal, 1, "east")
    reach_challenge(ledger, deal)
    assert ledger.refusal("east", proof(ledger, deal, 1, "east")) is Reject.PIECE_STATE
    ledger.apply("north", proof(ledger, deal, 0, "north"))
    ledger.apply("supervisor", settlement(ledger, deal))
    assert (ledger.account("north").balance, ledger.account("east").balance) == (PRICE, 0)
    assert holder_of(ledger, deal, 1).strikes == 0
    run_challenge(ledger, deal, PROVIDERS)
    assert (ledger.account("north").balance, ledger.account("east").balance) == (2 * PRICE, PRICE)


def test_refuses_a_proof_by_an_excluded_provider_and_drops_it_unpaid() -> None:
    ledger, deal = start_kept_deal(holders=2)
    ledger.apply("east", proof(ledger, deal, 1, "east"))
    exclude(ledger, "north")
    exclude(ledger, "east")
    assert ledger.refusal("north", proof(ledger, deal, 0, "north")) is Reject.PROVIDER_EXCLUDED
    ledger.apply("supervisor", settlement(ledger, deal))
    assert [piece.holder for piece in deal_of(ledger, deal).pieces] == [None] * 3
    assert (deal_of(ledger, deal).paid, deal_of(ledger, deal).proofs_left) == (0, PROOFS - 1)
    assert deal_of(ledger, deal).challenge_height is None
    assert held(ledger.state) == ledger.state.totals.issued


def test_settles_early_when_all_is_proved() -> None:
    ledger, deal = start_kept_deal()
    for number, name in enumerate(PROVIDERS[:3]):
        assert ledger.refusal("supervisor", settlement(ledger, deal)) is Reject.CHALLENGE_OPEN
        ledger.apply(name, proof(ledger, deal, number, name))
    ledger.apply("supervisor", settlement(ledger, deal))
    account = deal_of(ledger, deal)
    assert account.challenge_height == FIRST + 1 + PARAMS.challenge_interval
    assert (account.proofs_left, account.paid) == (PROOFS - 1, 3 * PRICE)
    assert [piece.holder.proved for piece in account.pieces if piece.holder] == [False] * 3
    assert [ledger.account(name).balance for name in PROVIDERS] == [PRICE, PRICE, PRICE, 0]


def test_refuses_a_settlement_with_a_single_fault() -> None:
    ledger, deal = start_kept_deal(holders=1)
    settle = settlement(ledger, deal)
    ledger.move_to(FIRST)
    assert ledger.refusal("supervisor", settle) is Reject.CHALLENGE
    ledger.move_to(FIRST + PARAMS.deadline_blocks)
    assert ledger.refusal("supervisor", settle) is Reject.CHALLENGE_OPEN
    ledger.move_to(FIRST + PARAMS.deadline_blocks + 1)
    assert ledger.refusal("north", settle) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(settle, deal=word("no deal"))) is Reject.DEAL_UNKNOWN
    assert ledger.refusal("supervisor", replace(settle, height=Height(FIRST - 1))) is Reject.CHALLENGE
    ledger.apply("supervisor", settle)
    assert ledger.refusal("supervisor", settle) is Reject.CHALLENGE


def test_failures_beyond_the_grace_cost_collateral_and_piece() -> None:
    ledger, deal = start_kept_deal()
    run_challenge(ledger, deal, ["north", "south"])
    assert (holder_of(ledger, deal, 1).strikes, ledger.account("east").stake) == (1, STAKED)
    run_challenge(ledger, deal, ["north", "south"])
    assert piece_of(ledger, deal, 1).holder is None
    assert (ledger.account("east").stake, ledger.account("east").locked) == (STAKED - COLLATERAL, 0)
    assert ledger.state.totals.treasury == COLLATERAL
    assert (provider_of(ledger, "east").suspended, provider_of(ledger, "east").used) == (True, 0)
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_proof_clears_the_strikes() -> None:
    ledger, deal = start_kept_deal()
    for provers in ([], PROVIDERS, [], PROVIDERS):
        run_challenge(ledger, deal, provers)
    assert [holder_of(ledger, deal, number).strikes for number in range(3)] == [0, 0, 0]


def test_a_deal_pauses_while_no_piece_is_active_and_goes_on_with_the_next() -> None:
    ledger, deal = start_kept_deal(holders=1)
    run_challenge(ledger, deal, [])
    run_challenge(ledger, deal, [])
    account = deal_of(ledger, deal)
    assert (account.challenge_height, account.proofs_left, account.status) == (None, PROOFS - 2, DealStatus.OPEN)
    activate(ledger, deal, 0, "east")
    for _ in range(PROOFS - 2):
        run_challenge(ledger, deal, PROVIDERS)
    assert deal_of(ledger, deal).status is DealStatus.EXPIRED
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_challenge_whose_pieces_are_gone_is_settled_at_once() -> None:
    ledger, deal = start_kept_deal(holders=1)
    activate(ledger, deal, 1, "east")
    exclude(ledger, "north")
    ledger.apply("supervisor", settlement(ledger, deal))
    assert holder_of(ledger, deal, 1).strikes == 0
    assert deal_of(ledger, deal).challenge_height == FIRST + 1 + PARAMS.challenge_interval


def test_bad_service_is_a_strike_that_a_proof_does_not_clear() -> None:
    ledger, deal = start_kept_deal()
    ledger.apply("supervisor", report(ledger, deal))
    assert holder_of(ledger, deal).strikes == 1
    run_challenge(ledger, deal, PROVIDERS)
    assert (holder_of(ledger, deal).strikes, ledger.account("north").balance) == (1, PRICE)
    ledger.apply("supervisor", report(ledger, deal))
    assert piece_of(ledger, deal).holder is None
    assert ledger.account("north").stake == STAKED - COLLATERAL


def test_a_period_without_a_report_clears_the_strike() -> None:
    ledger, deal = start_kept_deal()
    ledger.apply("supervisor", report(ledger, deal))
    run_challenge(ledger, deal, PROVIDERS)
    run_challenge(ledger, deal, PROVIDERS)
    assert holder_of(ledger, deal).strikes == 0


def test_refuses_a_report_with_a_single_fault() -> None:
    ledger, deal = start_kept_deal(holders=1)
    seal(ledger, deal, 1, "east")
    valid = report(ledger, deal)
    assert ledger.refusal("client", valid) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(valid, deal=word("no deal"))) is Reject.DEAL_UNKNOWN
    assert ledger.refusal("supervisor", replace(valid, piece=3)) is Reject.PIECE_UNKNOWN
    assert ledger.refusal("supervisor", replace(valid, piece=1)) is Reject.PIECE_STATE
    assert ledger.refusal("supervisor", replace(valid, piece=2)) is Reject.PIECE_STATE
    assert ledger.refusal("supervisor", replace(valid, term=1)) is Reject.TERM
    assert ledger.refusal("supervisor", replace(valid, height=Height(FIRST + 1))) is Reject.CHALLENGE
    ledger.apply("supervisor", valid)
    assert ledger.refusal("supervisor", replace(valid, reason="once more")) is Reject.SERVICE_REPORTED
    run_challenge(ledger, deal, PROVIDERS)
    assert ledger.refusal("supervisor", valid) is Reject.CHALLENGE


def test_a_pulse_changes_nothing() -> None:
    ledger, _ = start_deal()
    before = state_root(ledger.state)
    ledger.apply("supervisor", Pulse(height=ledger.context.height))
    assert state_root(ledger.state) == before


def test_refuses_a_pulse_with_a_single_fault() -> None:
    ledger, deal = start_deal()
    pulse = Pulse(height=ledger.context.height)
    assert ledger.refusal("client", pulse) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", Pulse(height=Height(2))) is Reject.PULSE
    ledger.apply("client", CloseDeal(sequence=1, deal=deal))
    assert ledger.refusal("supervisor", pulse) is Reject.PULSE


def _no_beacon(_height: Height) -> Digest | None:
    return None


def test_a_providers_record_says_what_it_proved_missed_earned_and_lost() -> None:
    ledger, deal = start_kept_deal()
    run_challenge(ledger, deal, ["north"])
    north, east = provider_of(ledger, "north"), provider_of(ledger, "east")
    assert (north.proofs, north.strikes, north.paid, north.slashed) == (1, 0, PRICE, 0)
    assert (east.proofs, east.strikes, east.paid, east.slashed) == (0, 1, 0, 0)
    for _ in range(PARAMS.storage_grace):
        run_challenge(ledger, deal, ["north"])
    east = provider_of(ledger, "east")
    assert (east.strikes, east.slashed) == (PARAMS.storage_grace + 1, COLLATERAL)
    ledger.apply("east", OfferStorage(sequence=ledger.account("east").sequence, node="east", capacity=9))
    assert provider_of(ledger, "east").slashed == COLLATERAL
