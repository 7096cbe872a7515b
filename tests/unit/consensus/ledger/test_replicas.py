"""The life of a provider's copy of a piece."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consensus.errors import Reject
from consensus.ledger.entries import Replica, ReplicaStatus
from consensus.primitives.encoding import Record
from consensus.records.storage import AssignPiece, DealId, DropPiece, LeavePiece, OfferStorage
from tests.kit.deals import (
    COLLATERAL,
    PRICE,
    PROVIDERS,
    STAKED,
    activate,
    add_provider,
    assignment,
    commitment,
    deal_of,
    exclude,
    holder_of,
    judgement,
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
from tests.kit.genesis import PARAMS, public_key
from tests.kit.ledger import TestLedger, held
from tests.kit.work import word

Kept = tuple[TestLedger, DealId]


def leaving(successor: str = "") -> Kept:
    """North keeps piece 0 and leaves; `successor` has sealed it."""
    ledger, deal = start_deal(price=PRICE)
    activate(ledger, deal, 0, "north")
    ledger.apply("north", LeavePiece(deal=deal, piece=0, term=0))
    if successor:
        seal(ledger, deal, 0, successor)
    return ledger, deal


def test_an_assignment_locks_collateral_and_room() -> None:
    ledger, deal = start_deal()
    ledger.move_to(3)
    ledger.apply("supervisor", assignment(ledger, deal, 1, "north"))
    assert holder_of(ledger, deal, 1) == Replica(term=0, provider=public_key("north"), since=3)
    assert piece_of(ledger, deal, 1).terms == 1
    assert (ledger.account("north").locked, ledger.account("north").stake) == (COLLATERAL, STAKED)
    assert provider_of(ledger, "north").used == 6_016


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda m: replace(m, deal=word("no deal")), Reject.DEAL_UNKNOWN),
        (lambda m: replace(m, piece=3), Reject.PIECE_UNKNOWN),
        (lambda m: replace(m, piece=1, provider=public_key("south")), Reject.PIECE_STATE),
        (lambda m: replace(m, term=1), Reject.TERM),
        (lambda m: replace(m, provider=public_key("client")), Reject.PROVIDER_UNKNOWN),
        (lambda m: replace(m, provider=public_key("east")), Reject.SAME_PROVIDER),
    ],
)
def test_refuses_an_assignment_with_a_single_fault(
    break_it: Callable[[AssignPiece], AssignPiece], code: Reject
) -> None:
    ledger, deal = start_deal()
    ledger.apply("supervisor", assignment(ledger, deal, 1, "east"))
    valid = assignment(ledger, deal, 0, "north")
    assert ledger.refusal("north", valid) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", break_it(valid)) is code
    ledger.apply("supervisor", valid)


def test_refuses_a_provider_without_room_stake_or_standing() -> None:
    ledger, deal = start_deal()
    add_provider(ledger, "small", capacity=6_015)
    add_provider(ledger, "poor", stake=COLLATERAL - 1)
    exclude(ledger, "north")
    refusals = [ledger.refusal("supervisor", assignment(ledger, deal, 0, name)) for name in ("small", "poor", "north")]
    assert refusals == [Reject.CAPACITY, Reject.STAKE, Reject.PROVIDER_EXCLUDED]


def test_refuses_a_machine_that_has_a_piece_while_another_could_take_it() -> None:
    ledger, deal = start_deal(["north", "east"])
    add_provider(ledger, "northern", node="north")
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    assert ledger.refusal("supervisor", assignment(ledger, deal, 1, "northern")) is Reject.SAME_NODE
    ledger.apply("supervisor", assignment(ledger, deal, 1, "east"))
    ledger.apply("supervisor", assignment(ledger, deal, 2, "northern"))


def test_a_machine_takes_a_second_piece_when_the_others_cannot() -> None:
    ledger, deal = start_deal(["north", "east"])
    add_provider(ledger, "northern", node="north")
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    ledger.apply("east", OfferStorage(sequence=2, node="east", capacity=100))
    ledger.apply("supervisor", assignment(ledger, deal, 1, "northern"))


def test_a_provider_that_was_dropped_does_not_stand_in_the_way() -> None:
    ledger, deal = start_deal(["north", "east"])
    add_provider(ledger, "northern", node="north")
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    ledger.apply("supervisor", assignment(ledger, deal, 1, "east"))
    ledger.apply("supervisor", DropPiece(deal=deal, piece=1, term=0))
    assert ledger.refusal("supervisor", assignment(ledger, deal, 1, "east")) is Reject.PROVIDER_SUSPENDED
    ledger.apply("supervisor", assignment(ledger, deal, 1, "northern"))


def test_a_dropped_provider_keeps_its_stake_and_can_come_back() -> None:
    ledger, deal = start_deal()
    seal(ledger, deal, 0, "north")
    ledger.apply("supervisor", DropPiece(deal=deal, piece=0, term=0))
    assert piece_of(ledger, deal).holder is None
    assert (ledger.account("north").stake, ledger.account("north").locked) == (STAKED, 0)
    assert (provider_of(ledger, "north").used, provider_of(ledger, "north").suspended) == (0, True)
    ledger.apply("north", OfferStorage(sequence=2, node="north", capacity=100_000))
    activate(ledger, deal, 0, "north")
    assert holder_of(ledger, deal).term == 1


def test_commit_and_acceptance_make_a_replica_active() -> None:
    ledger, deal = start_deal()
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    ledger.move_to(5)
    commit = commitment(ledger, deal, 0, "north")
    ledger.apply("north", commit)
    sealed = holder_of(ledger, deal)
    assert (sealed.status, sealed.root, sealed.since) == (ReplicaStatus.SEALED, commit.replica, 5)
    ledger.move_to(7)
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    active = holder_of(ledger, deal)
    assert (active.status, active.since, active.strikes) == (ReplicaStatus.ACTIVE, 7, 0)
    assert deal_of(ledger, deal).challenge_height == 7 + PARAMS.challenge_interval


def test_only_the_first_acceptance_sets_the_challenge() -> None:
    ledger, deal = start_deal()
    activate(ledger, deal, 0, "north")
    ledger.move_to(3)
    activate(ledger, deal, 1, "east")
    assert deal_of(ledger, deal).challenge_height == 1 + PARAMS.challenge_interval


def test_refuses_a_commit_with_a_single_fault() -> None:
    ledger, deal = start_deal()
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    commit = commitment(ledger, deal, 0, "north")
    assert ledger.refusal("east", commit) is Reject.NOT_AUTHORISED
    assert ledger.refusal("north", replace(commit, term=1)) is Reject.TERM
    assert ledger.refusal("north", replace(commit, piece=1)) is Reject.TERM
    assert ledger.refusal("north", replace(commit, piece=9)) is Reject.PIECE_UNKNOWN
    assert ledger.refusal("north", replace(commit, deal=word("no deal"))) is Reject.DEAL_UNKNOWN
    ledger.apply("north", commit)
    assert ledger.refusal("north", commit) is Reject.PIECE_STATE


def test_an_excluded_provider_commits_nothing_and_is_not_accepted() -> None:
    ledger, deal = start_deal()
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    seal(ledger, deal, 1, "east")
    exclude(ledger, "north")
    exclude(ledger, "east")
    assert ledger.refusal("north", commitment(ledger, deal, 0, "north")) is Reject.PROVIDER_EXCLUDED
    assert ledger.refusal("supervisor", judgement(ledger, deal, 1)) is Reject.PROVIDER_EXCLUDED
    ledger.apply("supervisor", judgement(ledger, deal, 1, accepted=False))
    assert ledger.account("east").stake == 0


def test_refuses_a_judgement_with_a_single_fault() -> None:
    ledger, deal = start_deal()
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    assert ledger.refusal("supervisor", judgement(ledger, deal, 0)) is Reject.PIECE_STATE
    ledger.apply("north", commitment(ledger, deal, 0, "north"))
    judge = judgement(ledger, deal, 0)
    assert ledger.refusal("north", judge) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(judge, replica=word("another"))) is Reject.REPLICA_ROOT
    assert ledger.refusal("supervisor", replace(judge, term=1)) is Reject.TERM
    ledger.apply("supervisor", judge)
    assert ledger.refusal("supervisor", judge) is Reject.PIECE_STATE


def test_a_refused_replica_costs_the_collateral() -> None:
    ledger, deal = start_deal()
    seal(ledger, deal, 0, "north")
    ledger.apply("supervisor", judgement(ledger, deal, 0, accepted=False))
    account = ledger.account("north")
    assert (account.stake, account.locked, account.excluded) == (STAKED - COLLATERAL, 0, False)
    assert ledger.state.totals.treasury == COLLATERAL
    assert piece_of(ledger, deal).holder is None
    assert provider_of(ledger, "north").suspended
    assert held(ledger.state) == ledger.state.totals.issued


def test_a_leaver_stays_until_its_successor_is_active() -> None:
    ledger, deal = leaving("east")
    assert [replica.provider for replica in piece_of(ledger, deal).replicas] == [
        public_key("north"),
        public_key("east"),
    ]
    assert ledger.account("north").locked == COLLATERAL
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    piece = piece_of(ledger, deal)
    assert (holder_of(ledger, deal).provider, piece.successor, piece.leaving) == (public_key("east"), None, False)
    assert (ledger.account("north").locked, provider_of(ledger, "north").used) == (0, 0)
    assert not provider_of(ledger, "north").suspended
    assert ledger.account("east").locked == COLLATERAL


def test_a_leaver_is_paid_while_it_proves() -> None:
    ledger, deal = leaving()
    run_challenge(ledger, deal, ["north"])
    assert ledger.account("north").balance == PRICE
    assert piece_of(ledger, deal).leaving


def test_a_leaver_that_is_replaced_in_an_open_challenge_is_paid_once_for_its_proof() -> None:
    ledger, deal = leaving("east")
    reach_challenge(ledger, deal)
    ledger.apply("north", proof(ledger, deal, 0, "north"))
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    assert ledger.account("north").balance == PRICE
    assert ledger.refusal("east", proof(ledger, deal, 0, "east")) is Reject.PIECE_STATE
    ledger.apply("supervisor", settlement(ledger, deal))
    assert (ledger.account("north").balance, ledger.account("east").balance) == (PRICE, 0)
    assert deal_of(ledger, deal).paid == PRICE


def test_a_successor_takes_over_when_the_leaver_fails_first() -> None:
    ledger, deal = leaving("east")
    run_challenge(ledger, deal, [])
    run_challenge(ledger, deal, [])
    piece = piece_of(ledger, deal)
    assert (holder_of(ledger, deal).provider, piece.successor, piece.leaving) == (public_key("east"), None, False)
    assert ledger.account("north").stake == STAKED - COLLATERAL
    assert deal_of(ledger, deal).challenge_height is None
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    assert deal_of(ledger, deal).challenge_height == ledger.context.height + PARAMS.challenge_interval


@pytest.mark.parametrize("accepted", [None, False])
def test_a_leaver_waits_for_another_when_its_successor_fails(accepted: bool | None) -> None:
    ledger, deal = leaving("east")
    drop = DropPiece(deal=deal, piece=0, term=1)
    ledger.apply("supervisor", drop if accepted is None else judgement(ledger, deal, 0, accepted=accepted))
    piece = piece_of(ledger, deal)
    assert (holder_of(ledger, deal).provider, piece.successor, piece.leaving) == (public_key("north"), None, True)
    assert ledger.account("east").stake == (STAKED if accepted is None else STAKED - COLLATERAL)
    activate(ledger, deal, 0, "south")
    assert holder_of(ledger, deal).provider == public_key("south")


def test_refuses_a_second_successor_and_the_leaver_itself() -> None:
    ledger, deal = leaving()
    assert ledger.refusal("supervisor", assignment(ledger, deal, 0, "north")) is Reject.SAME_PROVIDER
    seal(ledger, deal, 0, "east")
    assert ledger.refusal("supervisor", assignment(ledger, deal, 0, "south")) is Reject.PIECE_STATE


def test_refuses_to_leave_with_a_single_fault() -> None:
    ledger, deal = start_deal()
    seal(ledger, deal, 0, "north")
    leave = LeavePiece(deal=deal, piece=0, term=0)
    assert ledger.refusal("north", leave) is Reject.PIECE_STATE
    ledger.apply("supervisor", judgement(ledger, deal, 0))
    assert ledger.refusal("east", leave) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", leave) is Reject.NOT_AUTHORISED
    assert ledger.refusal("north", replace(leave, term=1)) is Reject.TERM
    assert ledger.refusal("north", replace(leave, piece=1)) is Reject.TERM
    ledger.apply("north", leave)
    assert ledger.refusal("north", leave) is Reject.PIECE_STATE


def test_refuses_to_drop_with_a_single_fault() -> None:
    ledger, deal = start_kept_deal(holders=1)
    drop = DropPiece(deal=deal, piece=0, term=0)
    assert ledger.refusal("supervisor", drop) is Reject.PIECE_STATE
    assert ledger.refusal("client", drop) is Reject.NOT_AUTHORISED
    assert ledger.refusal("supervisor", replace(drop, term=1)) is Reject.TERM
    assert ledger.refusal("supervisor", replace(drop, piece=1)) is Reject.TERM


def test_an_active_piece_of_an_excluded_provider_is_dropped() -> None:
    ledger, deal = start_kept_deal(holders=1)
    exclude(ledger, "north")
    ledger.apply("supervisor", DropPiece(deal=deal, piece=0, term=0))
    assert piece_of(ledger, deal).holder is None
    assert deal_of(ledger, deal).challenge_height is None
    assert ledger.account("north").locked == ledger.account("north").stake == 0
    assert held(ledger.state) == ledger.state.totals.issued


def test_messages_of_an_earlier_term_are_not_valid_in_a_later_one() -> None:
    ledger, deal = start_deal()
    seal(ledger, deal, 0, "north")
    old: list[tuple[str, Record]] = [
        ("supervisor", replace(assignment(ledger, deal, 0, "north"), term=0)),
        ("north", commitment(ledger, deal, 0, "north")),
        ("supervisor", judgement(ledger, deal, 0, accepted=False)),
    ]
    ledger.apply("supervisor", DropPiece(deal=deal, piece=0, term=0))
    ledger.apply("north", OfferStorage(sequence=2, node="north", capacity=100_000))
    assert ledger.refusal(*old[0]) is Reject.TERM
    ledger.apply("supervisor", assignment(ledger, deal, 0, "north"))
    assert ledger.refusal(*old[1]) is Reject.TERM
    ledger.apply("north", commitment(ledger, deal, 0, "north"))
    assert ledger.refusal(*old[2]) is Reject.TERM
    assert ledger.refusal("supervisor", DropPiece(deal=deal, piece=0, term=0)) is Reject.TERM


def test_all_pieces_of_a_deal_go_to_different_providers() -> None:
    ledger, deal = start_kept_deal()
    assert [holder_of(ledger, deal, number).provider for number in range(3)] == [public_key(p) for p in PROVIDERS[:3]]
