"""A deal as a whole: opened and paid for, ended by its client or with its last challenge. Its money goes from here."""

from typing import Final

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import load_open_deal
from consensus.ledger.entries import Deal, DealStatus, Piece, Replica
from consensus.ledger.providers import counted, unlock
from consensus.ledger.state import LedgerState
from consensus.ledger.transfers import credit, debit
from consensus.primitives.integers import MAX_UINT63, Credits, PublicKey
from consensus.records.storage import CloseDeal, DealId, OpenDeal, PieceRoot
from consensus.storage.sectors import replica_size

MAX_PIECES: Final = 64


def open_deal(state: LedgerState, signer: PublicKey, message: OpenDeal, deal: DealId) -> LedgerState:
    """Put the pay for all challenges of all pieces into escrow under a new deal, whose pieces are vacant."""
    _check_shape(message)
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
    if not holder.proved or not deal.price or state.account(holder.provider).excluded:
        return state, deal
    paid = replace(deal, escrow=deal.escrow - deal.price, paid=deal.paid + deal.price)
    return credit(state, holder.provider, deal.price), paid


def _check_shape(message: OpenDeal) -> None:
    """Any `data_pieces` pieces have to hold the artifact, as far as sizes and roots tell."""
    count, first = len(message.pieces), message.data_pieces
    if not 1 <= first <= count <= MAX_PIECES:
        raise InvalidTransactionError(Reject.DEAL_SHAPE, data_pieces=first, pieces=count)
    if message.size == 0 or any(piece.size == 0 for piece in message.pieces):
        raise InvalidTransactionError(Reject.DEAL_SHAPE, size=message.size)
    if first == 1 and any(piece != PieceRoot(root=message.root, size=message.size) for piece in message.pieces):
        raise InvalidTransactionError(Reject.DEAL_SHAPE, copies_of=message.root)
    sizes = {piece.size for piece in message.pieces}
    if len(sizes) > 1 or first * sizes.pop() < message.size:
        raise InvalidTransactionError(Reject.DEAL_SHAPE, size=message.size, data_pieces=first)
