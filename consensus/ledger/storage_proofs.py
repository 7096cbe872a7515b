"""Challenges: a block's beacon draws sectors of every active piece, proofs answer it, a settlement pays and punishes.

The ledger judges a proof by itself, from the replica root alone. What it takes on a supervisor's word is that a
provider did not hand out what it keeps.
"""

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import TransitionContext, check_committee, load_open_deal
from consensus.ledger.deals import end_deal, pay_proof
from consensus.ledger.entries import Deal, DealStatus, Replica
from consensus.ledger.providers import check_not_excluded
from consensus.ledger.replicas import (
    check_provider,
    load_active,
    put_replica,
    remove_replica,
    strike_replica,
)
from consensus.ledger.state import LedgerState
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.storage import DealId, ProveStorage, Pulse, ReportService, SettleChallenge
from consensus.storage.challenge import draw_sectors
from consensus.storage.multiproof import verify_multiproof
from consensus.storage.sectors import replica_size, sector_count


def prove_storage(
    state: LedgerState, signer: PublicKey, message: ProveStorage, context: TransitionContext
) -> LedgerState:
    """Note that the holder of an active piece answered the open challenge."""
    deal = load_open_deal(state, message.deal)
    holder = load_active(deal, message.piece)
    check_provider(holder, signer)
    beacon = _open_beacon(deal, message.height, context)
    if not deal.is_challenged(deal.pieces[message.piece]):
        raise InvalidTransactionError(Reject.PIECE_STATE, active_since=holder.since, challenge=message.height)
    if context.height > message.height + context.params.deadline_blocks:
        last = message.height + context.params.deadline_blocks
        raise InvalidTransactionError(Reject.PROOF_LATE, height=context.height, last=last)
    if holder.proved:
        raise InvalidTransactionError(Reject.PROOF_REPEATED, piece=message.piece, challenge=message.height)
    check_not_excluded(state, signer)
    _check_proof(deal, holder, message, beacon, context.params.challenge_sectors)
    return put_replica(state, message.deal, message.piece, replace(holder, proved=True))


def settle_challenge(
    state: LedgerState, signer: PublicKey, message: SettleChallenge, context: TransitionContext
) -> LedgerState:
    """Pay what was proved and strike what was not, once all is proved or the deadline is over; set the next one."""
    check_committee(signer, context)
    deal = load_open_deal(state, message.deal)
    _check_challenge(deal, message.height, context)
    asked = [number for number, piece in enumerate(deal.pieces) if deal.is_challenged(piece)]
    if context.height <= message.height + context.params.deadline_blocks:
        _check_all_proved(state, deal, asked)
    for number in asked:
        state = _settle_piece(state, message.deal, number, context)
    return _next_challenge(state, message.deal, context)


def report_service(
    state: LedgerState, signer: PublicKey, message: ReportService, context: TransitionContext
) -> LedgerState:
    """Strike a holder that did not hand out its piece: once from one settlement to the next."""
    check_committee(signer, context)
    deal = load_open_deal(state, message.deal)
    holder = load_active(deal, message.piece)
    if message.term != holder.term:
        raise InvalidTransactionError(Reject.TERM, expected=holder.term, actual=message.term)
    if message.height != deal.challenge_height:
        raise InvalidTransactionError(Reject.CHALLENGE, expected=deal.challenge_height, actual=message.height)
    if holder.reported:
        raise InvalidTransactionError(Reject.SERVICE_REPORTED, piece=message.piece, challenge=message.height)
    reported = replace(holder, reported=True)
    return strike_replica(state, message.deal, message.piece, reported, context.params.storage_grace)


def check_pulse(state: LedgerState, signer: PublicKey, message: Pulse, context: TransitionContext) -> None:
    """Raises InvalidTransactionError unless the committee wants this very block and a deal waits for it."""
    check_committee(signer, context)
    if message.height != context.height or state.totals.open_deals == 0:
        raise InvalidTransactionError(Reject.PULSE, height=message.height, deals=state.totals.open_deals)


def _check_challenge(deal: Deal, height: Height, context: TransitionContext) -> None:
    """The challenge has to be the deal's, and its block has to be there."""
    if height != deal.challenge_height or height >= context.height:
        raise InvalidTransactionError(Reject.CHALLENGE, expected=deal.challenge_height, actual=height)


def _open_beacon(deal: Deal, height: Height, context: TransitionContext) -> Digest:
    _check_challenge(deal, height, context)
    beacon = context.beacon(height)
    if beacon is None:
        raise InvalidTransactionError(Reject.CHALLENGE, no_beacon_of=height)
    return beacon


def _check_proof(deal: Deal, holder: Replica, message: ProveStorage, beacon: Digest, count: int) -> None:
    size = replica_size(deal.pieces[message.piece].size)
    drawn = draw_sectors(beacon, message.deal, message.piece, holder.provider, sector_count(size), count)
    is_proof = holder.root is not None and verify_multiproof(
        holder.root, size, drawn, message.sectors, message.siblings
    )
    if not is_proof:
        raise InvalidTransactionError(Reject.STORAGE_PROOF, piece=message.piece, drawn=drawn)


def _check_all_proved(state: LedgerState, deal: Deal, asked: list[int]) -> None:
    """Nothing more can come before the deadline. An excluded provider proves no more."""
    for number in asked:
        holder = deal.pieces[number].holder
        if holder is not None and not holder.proved and not state.account(holder.provider).excluded:
            raise InvalidTransactionError(Reject.CHALLENGE_OPEN, unproved=number)


def _settle_piece(state: LedgerState, key: DealId, number: int, context: TransitionContext) -> LedgerState:
    """One challenged piece. A strike for bad service outlasts a proof, or it could never come to anything."""
    deal = state.deals[key]
    holder = load_active(deal, number)
    if state.account(holder.provider).excluded:
        return remove_replica(state, key, number, holder)
    if not holder.proved:
        return strike_replica(state, key, number, holder, context.params.storage_grace)
    state, paid = pay_proof(state, deal, holder)
    strikes = holder.strikes if holder.reported else 0
    return put_replica(state.with_deal(key, paid), key, number, replace(holder, strikes=strikes))


def _next_challenge(state: LedgerState, key: DealId, context: TransitionContext) -> LedgerState:
    """Count the challenge and set the next one, if a piece is active. The last one ends the deal."""
    deal = state.deals[key]
    deal = replace(deal, proofs_left=deal.proofs_left - 1)
    if deal.proofs_left == 0:
        return end_deal(state, key, deal, DealStatus.EXPIRED)
    is_due = deal.challenge_height is not None
    due = context.height + context.params.challenge_interval if is_due else None
    pieces = tuple(
        piece if piece.holder is None else replace(piece, holder=replace(piece.holder, proved=False, reported=False))
        for piece in deal.pieces
    )
    return state.with_deal(key, replace(deal, challenge_height=due, pieces=pieces))
