"""Attempts to be paid for storage that is not there, to keep lost collateral, or to cost another provider its own.

Every message here is signed by whom it claims to be: what stops it is the ledger alone.
"""

from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import Account
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Height
from consensus.records.storage import (
    CloseDeal,
    DealId,
    DropPiece,
    LeavePiece,
    OfferStorage,
    ReportService,
    Unstake,
)
from consensus.records.transactions import ProveFraud, Transfer
from tests.kit.deals import (
    COLLATERAL,
    PRICE,
    PROVIDERS,
    STAKED,
    activate,
    add_provider,
    assignment,
    commitment,
    deal_message,
    deal_of,
    holder_of,
    judgement,
    piece_of,
    proof,
    provider_of,
    reach_challenge,
    root_of,
    run_challenge,
    seal,
    sealed_bytes,
    settlement,
    start_deal,
    start_kept_deal,
)
from tests.kit.genesis import FUNDS, PARAMS, public_key
from tests.kit.ledger import TestLedger, held


def come_back(ledger: TestLedger, name: str) -> None:
    """Offer storage again after a suspension."""
    ledger.apply(name, OfferStorage(sequence=ledger.account(name).sequence, node=name, capacity=100_000))


def leaver_and_successor() -> tuple[TestLedger, DealId]:
    """North leaves piece 0; west has sealed it and waits to be judged."""
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    ledger.apply("north", LeavePiece(deal=deal, piece=0, term=0))
    seal(ledger, deal, 0, "west")
    return ledger, deal


# pay without storage


def test_a_proof_after_the_deadline_earns_nothing() -> None:
    ledger, deal = start_kept_deal()
    late = proof(ledger, deal, 0, "north")
    ledger.move_to(deal_of(ledger, deal).challenge_height + PARAMS.deadline_blocks + 1)
    assert ledger.refusal("north", late) is Reject.PROOF_LATE
    ledger.apply("supervisor", settlement(ledger, deal))
    assert ledger.refusal("north", late) is Reject.CHALLENGE
    assert (ledger.account("north").balance, holder_of(ledger, deal).strikes) == (0, 1)


def test_the_answer_to_an_old_challenge_does_not_answer_a_new_one() -> None:
    ledger, deal = big_deal()
    old = proof(ledger, deal, 0, "north")
    run_challenge(ledger, deal, ["north"])
    height = reach_challenge(ledger, deal)
    assert ledger.refusal("north", old) is Reject.CHALLENGE
    assert ledger.refusal("north", replace(old, height=height)) is Reject.STORAGE_PROOF


def test_the_answer_of_another_provider_or_for_another_piece_is_not_ones_own() -> None:
    ledger, deal = start_kept_deal()
    north = proof(ledger, deal, 0, "north")
    assert ledger.refusal("east", north) is Reject.NOT_AUTHORISED
    assert ledger.refusal("east", replace(north, piece=1)) is Reject.STORAGE_PROOF


def test_the_answer_in_another_deal_over_the_same_artifact_does_not_count_twice() -> None:
    ledger, deal = start_deal()
    other = ledger.apply("client", deal_message(ledger)).digest
    for key in (deal, other):
        activate(ledger, key, 0, "north")
    reach_challenge(ledger, deal)
    first = proof(ledger, deal, 0, "north")
    ledger.apply("north", first)
    assert ledger.refusal("north", replace(first, deal=other)) is Reject.STORAGE_PROOF


def test_a_replica_sealed_for_another_is_drawn_for_oneself() -> None:
    """West commits to the very replica of north and proves with bytes of north. It has to know other sectors."""
    ledger, deal = big_deal()
    stolen = sealed_bytes(deal, 0, public_key("north"), piece_of(ledger, deal).size)
    ledger.apply("supervisor", assignment(ledger, deal, 1, "west"))
    ledger.apply("west", replace(commitment(ledger, deal, 1, "west"), replica=root_of(stolen)))
    ledger.apply("supervisor", judgement(ledger, deal, 1))
    run_challenge(ledger, deal, ["north"])
    reach_challenge(ledger, deal)
    north = proof(ledger, deal, 0, "north")
    assert ledger.refusal("west", replace(north, piece=1)) is Reject.STORAGE_PROOF


def test_a_piece_that_is_only_assigned_or_sealed_earns_nothing() -> None:
    ledger, deal = start_kept_deal(holders=1)
    ledger.apply("supervisor", assignment(ledger, deal, 1, "east"))
    assert ledger.refusal("east", proof(ledger, deal, 1, "east")) is Reject.PIECE_STATE
    ledger.apply("east", commitment(ledger, deal, 1, "east"))
    assert ledger.refusal("east", proof(ledger, deal, 1, "east")) is Reject.PIECE_STATE
    assert ledger.refusal("east", proof(ledger, deal, 2, "east")) is Reject.PIECE_STATE
    ledger.apply("supervisor", judgement(ledger, deal, 1))
    assert ledger.refusal("east", proof(ledger, deal, 1, "east")) is Reject.PIECE_STATE


def test_a_challenge_pays_once() -> None:
    ledger, deal = start_kept_deal(holders=1)
    answer = proof(ledger, deal, 0, "north")
    ledger.apply("north", answer)
    assert ledger.refusal("north", answer) is Reject.PROOF_REPEATED
    settle = settlement(ledger, deal)
    ledger.apply("supervisor", settle)
    assert ledger.refusal("supervisor", settle) is Reject.CHALLENGE
    assert ledger.refusal("north", answer) is Reject.CHALLENGE
    assert ledger.account("north").balance == deal_of(ledger, deal).paid == PRICE


def test_a_leaver_and_its_successor_are_not_both_paid() -> None:
    ledger, deal = leaver_and_successor()
    reach_challenge(ledger, deal)
    ledger.apply("north", proof(ledger, deal, 0, "north"))
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    assert ledger.refusal("west", proof(ledger, deal, 0, "west")) is Reject.PIECE_STATE
    ledger.apply("supervisor", settlement(ledger, deal))
    assert deal_of(ledger, deal).paid == PRICE


def test_a_client_that_closes_pays_for_the_proofs_it_has_seen() -> None:
    ledger, deal = start_kept_deal()
    for number, name in enumerate(PROVIDERS[:3]):
        ledger.apply(name, proof(ledger, deal, number, name))
    ledger.apply("client", CloseDeal(sequence=1, deal=deal))
    assert ledger.account("client").balance == FUNDS - 3 * PRICE


# keeping collateral


def test_collateral_is_not_unstaked_while_a_piece_is_held() -> None:
    ledger, deal = start_deal()
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    assert ledger.refusal("north", Unstake(sequence=2, amount=STAKED)) is Reject.STAKE
    activate(ledger, deal, 1, "east")
    assert ledger.refusal("east", Unstake(sequence=2, amount=STAKED - COLLATERAL + 1)) is Reject.STAKE


def test_one_stake_does_not_secure_two_pieces() -> None:
    ledger, deal = start_deal()
    add_provider(ledger, "poor", stake=2 * COLLATERAL - 1)
    other = ledger.apply("client", deal_message(ledger)).digest
    activate(ledger, deal, 0, "poor")
    assert ledger.refusal("supervisor", assignment(ledger, other, 0, "poor")) is Reject.STAKE


def test_leaving_frees_no_collateral_before_there_is_a_replacement() -> None:
    ledger, deal = leaver_and_successor()
    assert ledger.refusal("north", Unstake(sequence=2, amount=STAKED)) is Reject.STAKE
    assert ledger.refusal("supervisor", DropPiece(deal=deal, piece=0, term=0)) is Reject.PIECE_STATE
    for _ in range(PARAMS.storage_grace + 1):
        run_challenge(ledger, deal, [])
    assert ledger.account("north").stake == STAKED - COLLATERAL
    assert ledger.account("west") == Account(stake=STAKED, sequence=2, locked=COLLATERAL)


def test_a_leaver_gets_its_own_collateral_back_and_no_more() -> None:
    ledger, deal = leaver_and_successor()
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    assert ledger.refusal("north", LeavePiece(deal=deal, piece=0, term=0)) is Reject.TERM
    assert ledger.refusal("north", LeavePiece(deal=deal, piece=0, term=1)) is Reject.NOT_AUTHORISED
    assert (ledger.account("north").locked, ledger.account("west").locked) == (0, COLLATERAL)
    ledger.apply("north", Unstake(sequence=2, amount=STAKED))
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_failing_successor_does_not_take_the_leavers_collateral() -> None:
    ledger, deal = leaver_and_successor()
    ledger.apply("supervisor", judgement(ledger, deal, 0, accepted=False))
    assert (ledger.account("north").stake, ledger.account("north").locked) == (STAKED, COLLATERAL)
    assert (ledger.account("west").stake, ledger.account("west").locked) == (STAKED - COLLATERAL, 0)


def test_closing_ones_own_deal_saves_no_collateral_that_is_lost() -> None:
    ledger, deal = start_kept_deal()
    for _ in range(PARAMS.storage_grace + 1):
        run_challenge(ledger, deal, [])
    ledger.apply("client", CloseDeal(sequence=1, deal=deal))
    assert ledger.state.totals.treasury == 3 * COLLATERAL


def test_a_cheat_at_training_loses_its_collateral_too_and_the_piece_with_it() -> None:
    ledger, deal = start_deal()
    job = ledger.open_job(sequence=1)
    add_provider(ledger, "rival")
    activate(ledger, deal, 0, "rival")
    ledger.commit(job, 0)
    ledger.apply("supervisor", ProveFraud(job=job, report=encode(ledger.report(job, 0, 1)), code="update"))
    assert (ledger.account("rival").stake, ledger.account("rival").locked) == (0, 0)
    reach_challenge(ledger, deal)
    assert ledger.refusal("rival", proof(ledger, deal, 0, "rival")) is Reject.PROVIDER_EXCLUDED
    assert ledger.refusal("rival", OfferStorage(sequence=2, node="n", capacity=1)) is Reject.PROVIDER_EXCLUDED
    ledger.apply("supervisor", settlement(ledger, deal))
    assert piece_of(ledger, deal).holder is None
    assert ledger.refusal("supervisor", assignment(ledger, deal, 0, "rival")) is Reject.PROVIDER_EXCLUDED
    assert held(ledger.state) == ledger.state.totals.issued


# costing others theirs, and gathering pieces


def test_old_words_of_a_supervisor_are_not_said_again() -> None:
    """North failed once and came back. Its first assignment, refusal and reports are on the chain for all to copy."""
    ledger, deal = start_deal()
    assign = assignment(ledger, deal, 0, "north")
    seal(ledger, deal, 0, "north")
    commit, refuse = commitment(ledger, deal, 0, "north"), judgement(ledger, deal, 0, accepted=False)
    ledger.apply("supervisor", refuse)
    come_back(ledger, "north")
    assert ledger.refusal("supervisor", assign) is Reject.TERM
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    assert ledger.refusal("north", commit) is Reject.TERM
    ledger.apply("north", commitment(ledger, deal, 0, "north"))
    assert ledger.refusal("supervisor", refuse) is Reject.TERM
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    height = deal_of(ledger, deal).challenge_height or Height(0)
    reported = ReportService(deal=deal, piece=0, term=1, height=height)
    ledger.apply("supervisor", reported)
    run_challenge(ledger, deal, ["north"])
    assert ledger.refusal("supervisor", reported) is Reject.CHALLENGE
    assert ledger.account("north").stake == STAKED - COLLATERAL


def test_a_provider_cannot_speak_for_the_committee() -> None:
    ledger, deal = start_kept_deal(holders=1)
    seal(ledger, deal, 1, "east")
    height = deal_of(ledger, deal).challenge_height or Height(0)
    for message in (
        judgement(ledger, deal, 1),
        settlement(ledger, deal),
        assignment(ledger, deal, 2, "south"),
        DropPiece(deal=deal, piece=1, term=0),
        ReportService(deal=deal, piece=0, term=0, height=height),
    ):
        assert ledger.refusal("east", message) is Reject.NOT_AUTHORISED


def test_two_pieces_do_not_go_to_one_machine_while_another_is_free() -> None:
    ledger, deal = start_deal(["north", "east"])
    for name in ("second", "third"):
        add_provider(ledger, name, node="north")
    activate(ledger, deal, 0, "north")
    assert ledger.refusal("supervisor", assignment(ledger, deal, 1, "north")) is Reject.SAME_PROVIDER
    assert ledger.refusal("supervisor", assignment(ledger, deal, 1, "second")) is Reject.SAME_NODE
    ledger.apply("north", LeavePiece(deal=deal, piece=0, term=0))
    assert ledger.refusal("supervisor", assignment(ledger, deal, 0, "second")) is Reject.SAME_NODE
    activate(ledger, deal, 1, "east")
    ledger.apply("supervisor", assignment(ledger, deal, 0, "second"))


def test_many_accounts_on_one_machine_do_not_crowd_out_the_free_one() -> None:
    ledger, deal = start_deal(["north", "east"])
    names = [f"crowd {number}" for number in range(5)]
    for name in names:
        add_provider(ledger, name, node="crowd")
    ledger.apply("supervisor", assignment(ledger, deal, 0, names[0]))
    refusals = {ledger.refusal("supervisor", assignment(ledger, deal, 1, name)) for name in names[1:]}
    assert refusals == {Reject.SAME_NODE}


def test_a_suspended_provider_gets_nothing_until_it_offers_again() -> None:
    ledger, deal = start_kept_deal(holders=1)
    for _ in range(PARAMS.storage_grace + 1):
        run_challenge(ledger, deal, [])
    assert provider_of(ledger, "north").suspended
    assert ledger.refusal("supervisor", assignment(ledger, deal, 0, "north")) is Reject.PROVIDER_SUSPENDED
    come_back(ledger, "north")
    activate(ledger, deal, 0, "north")


def test_an_escrow_is_not_spent_twice() -> None:
    ledger, deal = start_deal()
    everything = ledger.account("client").balance
    assert ledger.refusal("client", Transfer(sequence=1, recipient=public_key("other"), amount=FUNDS)) is Reject.FUNDS
    ledger.apply("client", Transfer(sequence=1, recipient=public_key("other"), amount=everything))
    ledger.apply("client", CloseDeal(sequence=2, deal=deal))
    assert ledger.refusal("client", CloseDeal(sequence=3, deal=deal)) is Reject.DEAL_STATE
    assert held(ledger.state) == ledger.state.totals.issued


def big_deal() -> tuple[TestLedger, DealId]:
    """A deal about so many sectors that two draws are never the same; north keeps piece 0."""
    ledger = start_deal(["north", "west"])[0]
    copy = replace(deal_message(ledger).pieces[0], size=90_000)
    deal = ledger.apply("client", deal_message(ledger, size=copy.size, pieces=(copy, copy))).digest
    activate(ledger, deal, 0, "north")
    reach_challenge(ledger, deal)
    return ledger, deal
