"""A deal as a whole: opened and paid for, ended by its client or with its last challenge. Its money goes from here."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import TransitionContext, check_committee, load_job, load_open_deal
from consensus.ledger.entries import Deal, DealStatus, JobStatus, Piece, Replica
from consensus.ledger.providers import counted, unlock
from consensus.ledger.state import LedgerState
from consensus.ledger.transfers import credit, debit
from consensus.primitives.integers import MAX_UINT63, Credits, PublicKey
from consensus.records.storage import CloseDeal, DealId, KeepWeights, OpenDeal, PieceRoot, StorageTerms
from consensus.storage.sectors import replica_size

MAX_PIECES: Final = 64


def open_deal(state: LedgerState, signer: PublicKey, message: OpenDeal, deal: DealId) -> LedgerState:
    """Put the pay for all challenges of all pieces into escrow under a new deal, whose pieces are vacant."""
    artifact = PieceRoot(root=message.root, size=message.size)
    _check_shape(message.data_pieces, message.pieces, artifact)
    escrow = message.price * len(message.pieces) * message.proofs
    if message.proofs == 0 or escrow > MAX_UINT63:
        raise InvalidTransactionError(Reject.AMOUNT, proofs=message.proofs, escrow=escrow)
    opened = Deal(
        client=signer,
        root=message.root,
        size=message.size,
        binding=message.binding,
        data_pieces=message.data_pieces,
        price=message.price,
        collateral=message.collateral,
        proofs=message.proofs,
        proofs_left=message.proofs,
        escrow=Credits(escrow),
        pieces=tuple(Piece(root=piece.root, size=piece.size) for piece in message.pieces),
        job=message.job,
    )
    return debit(state, signer, message.sequence, Credits(escrow)).with_deal(deal, opened)


def keep_weights(
    state: LedgerState, signer: PublicKey, message: KeepWeights, deal: DealId, context: TransitionContext
) -> LedgerState:
    """Open the deal about a completed job's weights. Its client's money has been in the job's escrow."""
    check_committee(signer, context)
    job = load_job(state, message.job)
    terms = job.storage
    if job.status is not JobStatus.COMPLETED or terms is None or job.deal is not None or job.state is None:
        raise InvalidTransactionError(Reject.JOB_STATE, status=job.status.value, is_kept=job.deal is not None)
    if len(message.pieces) != terms.total_pieces:
        raise InvalidTransactionError(Reject.DEAL_SHAPE, expected=terms.total_pieces, pieces=len(message.pieces))
    _check_shape(terms.data_pieces, message.pieces, PieceRoot(root=job.state, size=message.size))
    opened = Deal(
        client=job.client,
        root=job.state,
        size=message.size,
        binding=message.binding,
        data_pieces=terms.data_pieces,
        price=terms.price,
        collateral=terms.collateral,
        proofs=terms.proofs,
        proofs_left=terms.proofs,
        escrow=Credits(terms.escrow),
        pieces=tuple(Piece(root=piece.root, size=piece.size) for piece in message.pieces),
        job=message.job,
    )
    paid = replace(job, deal=deal, escrow=job.escrow - terms.escrow)
    return state.with_job(message.job, paid).with_deal(deal, opened)


def checked_terms(terms: StorageTerms) -> StorageTerms:
    """Terms that a deal can have. Raises InvalidTransactionError."""
    if not 1 <= terms.data_pieces <= terms.total_pieces <= MAX_PIECES:
        raise InvalidTransactionError(Reject.DEAL_SHAPE, data_pieces=terms.data_pieces, pieces=terms.total_pieces)
    if terms.proofs == 0 or terms.escrow > MAX_UINT63:
        raise InvalidTransactionError(Reject.AMOUNT, proofs=terms.proofs, escrow=terms.escrow)
    return terms


def close_deal(state: LedgerState, signer: PublicKey, message: CloseDeal) -> LedgerState:
    """End a deal at its client's wish. Proofs of an open challenge are paid first."""
    deal = load_open_deal(state, message.deal)
    if signer != deal.client:
        raise InvalidTransactionError(Reject.NOT_AUTHORISED, signer=signer)
    state = counted(state, signer, message.sequence)
    for piece in deal.pieces:
        if piece.holder is not None:
            state, deal = pay_proof(state, deal, piece.holder)
    return end_deal(state, message.deal, deal, DealStatus.CLOSED)


def end_deal(state: LedgerState, key: DealId, deal: Deal, status: DealStatus) -> LedgerState:
    """Take all pieces from their providers, free the collaterals, and pay the rest of the escrow back."""
    for piece in deal.pieces:
        for replica in piece.replicas:
            state = unlock(state, replica.provider, replica_size(piece.size), deal.collateral)
    if deal.escrow:
        state = credit(state, deal.client, deal.escrow)
    vacant = tuple(replace(piece, holder=None, successor=None, leaving=False) for piece in deal.pieces)
    ended = replace(deal, status=status, escrow=Credits(0), pieces=vacant, challenge_height=None)
    return state.with_deal(key, ended)


def pay_proof(state: LedgerState, deal: Deal, holder: Replica) -> tuple[LedgerState, Deal]:
    """Pay a holder that answered the open challenge out of the escrow, unless it is excluded by now.

    At most one proof of each piece is paid in a challenge, so the escrow lasts: it holds as much for every challenge.
    """
    if not holder.proved or state.account(holder.provider).excluded:
        return state, deal
    offer = state.providers[holder.provider]
    richer = replace(offer, proofs=offer.proofs + 1, paid=offer.paid + deal.price)
    state = state.with_provider(holder.provider, richer)
    if not deal.price:
        return state, deal
    paid = replace(deal, escrow=deal.escrow - deal.price, paid=deal.paid + deal.price)
    return credit(state, holder.provider, deal.price), paid


def _check_shape(data_pieces: int, pieces: Sequence[PieceRoot], artifact: PieceRoot) -> None:
    """Any `data_pieces` pieces have to hold the artifact, as far as sizes and roots tell."""
    if not 1 <= data_pieces <= len(pieces) <= MAX_PIECES:
        raise InvalidTransactionError(Reject.DEAL_SHAPE, data_pieces=data_pieces, pieces=len(pieces))
    if artifact.size == 0 or any(piece.size == 0 for piece in pieces):
        raise InvalidTransactionError(Reject.DEAL_SHAPE, size=artifact.size)
    if data_pieces == 1 and any(piece != artifact for piece in pieces):
        raise InvalidTransactionError(Reject.DEAL_SHAPE, copies_of=artifact.root)
    sizes = {piece.size for piece in pieces}
    if len(sizes) > 1 or data_pieces * sizes.pop() < artifact.size:
        raise InvalidTransactionError(Reject.DEAL_SHAPE, size=artifact.size, data_pieces=data_pieces)
