"""The life of one provider's copy of a piece: assigned, sealed, judged, replaced, dropped, failed.

A piece has one holder. Only beside a holder that asked to leave can there be a second copy, its successor, which takes
over when it becomes active or when the holder fails first.
"""

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import TransitionContext, check_committee, load_open_deal
from consensus.ledger.deals import pay_proof
from consensus.ledger.entries import Deal, Piece, Replica, ReplicaStatus
from consensus.ledger.providers import check_not_excluded, find_obstacle, lock, slash, unlock
from consensus.ledger.state import LedgerState
from consensus.primitives.integers import Height, PublicKey
from consensus.records.storage import AssignPiece, CommitReplica, DealId, DropPiece, JudgeReplica, LeavePiece
from consensus.storage.sectors import replica_size


def assign_piece(
    state: LedgerState, signer: PublicKey, message: AssignPiece, context: TransitionContext
) -> LedgerState:
    """Give a vacant piece, or the succession of a leaving one, to a provider and lock its collateral."""
    check_committee(signer, context)
    deal = load_open_deal(state, message.deal)
    piece = load_piece(deal, message.piece)
    if not piece.is_assignable:
        raise InvalidTransactionError(Reject.PIECE_STATE, piece=message.piece, leaving=piece.leaving)
    if message.term != piece.terms:
        raise InvalidTransactionError(Reject.TERM, expected=piece.terms, actual=message.term)
    _check_placement(state, deal, piece, message.provider)
    replica = Replica(term=message.term, provider=message.provider, since=context.height)
    place = "holder" if piece.holder is None else "successor"
    assigned = replace(piece, terms=piece.terms + 1, **{place: replica})
    locked = lock(state, message.provider, replica_size(piece.size), deal.collateral)
    return locked.with_deal(message.deal, _with_piece(deal, message.piece, assigned))


def commit_replica(
    state: LedgerState, signer: PublicKey, message: CommitReplica, context: TransitionContext
) -> LedgerState:
    """Take the root of a replica that its provider has sealed."""
    deal = load_open_deal(state, message.deal)
    replica = _load_replica(load_piece(deal, message.piece), message.term)
    check_provider(replica, signer)
    _check_status(replica, ReplicaStatus.ASSIGNED)
    check_not_excluded(state, signer)
    sealed = replace(replica, status=ReplicaStatus.SEALED, root=message.replica, since=context.height)
    return put_replica(state, message.deal, message.piece, sealed)


def judge_replica(
    state: LedgerState, signer: PublicKey, message: JudgeReplica, context: TransitionContext
) -> LedgerState:
    """Make a sealed replica active, or take it and its collateral from its provider."""
    check_committee(signer, context)
    deal = load_open_deal(state, message.deal)
    replica = _load_replica(load_piece(deal, message.piece), message.term)
    _check_status(replica, ReplicaStatus.SEALED)
    if replica.root != message.replica:
        raise InvalidTransactionError(Reject.REPLICA_ROOT, committed=replica.root, judged=message.replica)
    if not message.accepted:
        return fail_replica(state, message.deal, message.piece, replica)
    check_not_excluded(state, replica.provider)
    active = replace(replica, status=ReplicaStatus.ACTIVE, since=context.height)
    return _take_over(state, message.deal, message.piece, active, context)


def leave_piece(state: LedgerState, signer: PublicKey, message: LeavePiece) -> LedgerState:
    """Mark an active piece as leaving."""
    deal = load_open_deal(state, message.deal)
    piece = load_piece(deal, message.piece)
    replica = _load_replica(piece, message.term)
    check_provider(replica, signer)
    _check_status(replica, ReplicaStatus.ACTIVE)
    if piece.leaving:
        raise InvalidTransactionError(Reject.PIECE_STATE, piece=message.piece, leaving=True)
    return state.with_deal(message.deal, _with_piece(deal, message.piece, replace(piece, leaving=True)))


def drop_piece(state: LedgerState, signer: PublicKey, message: DropPiece, context: TransitionContext) -> LedgerState:
    """Take a replica that is not active, or any of an excluded provider, and free its collateral."""
    check_committee(signer, context)
    deal = load_open_deal(state, message.deal)
    replica = _load_replica(load_piece(deal, message.piece), message.term)
    if replica.is_active and not state.account(replica.provider).excluded:
        raise InvalidTransactionError(Reject.PIECE_STATE, piece=message.piece, status=replica.status.value)
    return remove_replica(state, message.deal, message.piece, replica)


def load_piece(deal: Deal, index: int) -> Piece:
    """A piece of a deal, or InvalidTransactionError."""
    if index >= len(deal.pieces):
        raise InvalidTransactionError(Reject.PIECE_UNKNOWN, piece=index, pieces=len(deal.pieces))
    return deal.pieces[index]


def load_active(deal: Deal, index: int) -> Replica:
    """The active replica of a piece, or InvalidTransactionError."""
    holder = load_piece(deal, index).holder
    if holder is None or not holder.is_active:
        raise InvalidTransactionError(Reject.PIECE_STATE, piece=index, active=False)
    return holder


def check_provider(replica: Replica, signer: PublicKey) -> None:
    """Raises InvalidTransactionError unless the replica's provider signed."""
    if signer != replica.provider:
        raise InvalidTransactionError(Reject.NOT_AUTHORISED, signer=signer, provider=replica.provider)


def put_replica(state: LedgerState, key: DealId, index: int, replica: Replica) -> LedgerState:
    """The state with a piece's replica of this term changed."""
    deal = state.deals[key]
    piece = deal.pieces[index]
    is_successor = piece.successor is not None and piece.successor.term == replica.term
    changed = replace(piece, successor=replica) if is_successor else replace(piece, holder=replica)
    return state.with_deal(key, _with_piece(deal, index, changed))


def strike_replica(state: LedgerState, key: DealId, index: int, replica: Replica, grace: int) -> LedgerState:
    """Count a failure of an active replica, given as it is to be kept. One over `grace` costs piece and collateral."""
    struck, offer = replace(replica, strikes=replica.strikes + 1), state.providers[replica.provider]
    state = state.with_provider(replica.provider, replace(offer, strikes=offer.strikes + 1))
    if struck.strikes > grace:
        return fail_replica(state, key, index, struck)
    return put_replica(state, key, index, struck)


def fail_replica(state: LedgerState, key: DealId, index: int, replica: Replica) -> LedgerState:
    """Take a replica and its collateral from its provider."""
    deal = state.deals[key]
    slashed = slash(state, replica.provider, replica_size(deal.pieces[index].size), deal.collateral)
    return slashed.with_deal(key, _without_replica(deal, index, replica))


def remove_replica(state: LedgerState, key: DealId, index: int, replica: Replica) -> LedgerState:
    """Take a replica from its provider, which keeps its collateral but has to offer storage again."""
    deal = state.deals[key]
    size_bytes = replica_size(deal.pieces[index].size)
    freed = unlock(state, replica.provider, size_bytes, deal.collateral, suspends=True)
    return freed.with_deal(key, _without_replica(deal, index, replica))


def _take_over(state: LedgerState, key: DealId, index: int, active: Replica, context: TransitionContext) -> LedgerState:
    """Make a replica the holder. A leaver is paid what it has proved in an open challenge, and may go."""
    deal = state.deals[key]
    piece = deal.pieces[index]
    leaver = piece.holder
    if leaver is not None and leaver.term != active.term:
        state, deal = pay_proof(state, deal, leaver)
        state = unlock(state, leaver.provider, replica_size(piece.size), deal.collateral)
    first = Height(context.height + context.params.challenge_interval)
    due = first if deal.challenge_height is None else deal.challenge_height
    taken = replace(piece, holder=active, successor=None, leaving=False)
    return state.with_deal(key, replace(_with_piece(deal, index, taken), challenge_height=due))


def _check_placement(state: LedgerState, deal: Deal, piece: Piece, provider: PublicKey) -> None:
    """One provider has one piece of a deal at most. So has one machine, while a provider on a free one can take it."""
    size_bytes = replica_size(piece.size)
    obstacle = find_obstacle(state, provider, size_bytes, deal.collateral)
    if obstacle is not None:
        raise InvalidTransactionError(obstacle, provider=provider, bytes=size_bytes, collateral=deal.collateral)
    holders = {replica.provider for other in deal.pieces for replica in other.replicas}
    if provider in holders:
        raise InvalidTransactionError(Reject.SAME_PROVIDER, provider=provider)
    taken = {state.providers[holder].node for holder in holders}
    node = state.providers[provider].node
    if node in taken and _has_room_elsewhere(state, taken, size_bytes, deal.collateral):
        raise InvalidTransactionError(Reject.SAME_NODE, provider=provider, node=node)


def _has_room_elsewhere(state: LedgerState, taken: set[str], size_bytes: int, collateral: int) -> bool:
    return any(
        offer.node not in taken and find_obstacle(state, provider, size_bytes, collateral) is None
        for provider, offer in state.providers.items()
    )


def _load_replica(piece: Piece, term: int) -> Replica:
    for replica in piece.replicas:
        if replica.term == term:
            return replica
    raise InvalidTransactionError(Reject.TERM, now=[replica.term for replica in piece.replicas], actual=term)


def _check_status(replica: Replica, status: ReplicaStatus) -> None:
    if replica.status is not status:
        raise InvalidTransactionError(Reject.PIECE_STATE, expected=status.value, actual=replica.status.value)


def _with_piece(deal: Deal, index: int, piece: Piece) -> Deal:
    return replace(deal, pieces=(*deal.pieces[:index], piece, *deal.pieces[index + 1 :]))


def _without_replica(deal: Deal, index: int, replica: Replica) -> Deal:
    """A successor steps into the place of a holder that is gone. Without an active piece no challenge is due."""
    piece = deal.pieces[index]
    is_successor = piece.successor is not None and piece.successor.term == replica.term
    holder = piece.holder if is_successor else piece.successor
    leaving = piece.leaving and is_successor
    left = _with_piece(deal, index, replace(piece, holder=holder, successor=None, leaving=leaving))
    if any(other.holder is not None and other.holder.is_active for other in left.pieces):
        return left
    return replace(left, challenge_height=None)
