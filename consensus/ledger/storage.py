"""Which rule a transaction about storage falls under."""

from consensus.ledger.context import TransitionContext
from consensus.ledger.deals import close_deal, keep_weights, open_deal
from consensus.ledger.providers import offer_storage, put_stake, take_stake
from consensus.ledger.replicas import assign_piece, commit_replica, drop_piece, judge_replica, leave_piece
from consensus.ledger.state import LedgerState
from consensus.ledger.storage_proofs import check_pulse, prove_storage, report_service, settle_challenge
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.storage import (
    AssignPiece,
    CloseDeal,
    CommitReplica,
    DropPiece,
    JudgeReplica,
    KeepWeights,
    LeavePiece,
    OfferStorage,
    OpenDeal,
    PieceTransaction,
    ProveStorage,
    Pulse,
    ReportService,
    SettleChallenge,
    Stake,
    StorageTransaction,
    Unstake,
)


def apply_storage(
    state: LedgerState, signer: PublicKey, message: StorageTransaction, digest: Digest, context: TransitionContext
) -> LedgerState:
    """The ledger after a transaction about storage with this envelope digest. Raises InvalidTransactionError."""
    match message:
        case Stake():
            after = put_stake(state, signer, message)
        case Unstake():
            after = take_stake(state, signer, message)
        case OfferStorage():
            after = offer_storage(state, signer, message)
        case OpenDeal():
            after = open_deal(state, signer, message, digest)
        case KeepWeights():
            after = keep_weights(state, signer, message, digest, context)
        case CloseDeal():
            after = close_deal(state, signer, message)
        case _:
            after = _apply_to_piece(state, signer, message, context)
    return after


def _apply_to_piece(
    state: LedgerState, signer: PublicKey, message: PieceTransaction, context: TransitionContext
) -> LedgerState:
    match message:
        case AssignPiece():
            after = assign_piece(state, signer, message, context)
        case CommitReplica():
            after = commit_replica(state, signer, message, context)
        case JudgeReplica():
            after = judge_replica(state, signer, message, context)
        case LeavePiece():
            after = leave_piece(state, signer, message)
        case DropPiece():
            after = drop_piece(state, signer, message, context)
        case ProveStorage():
            after = prove_storage(state, signer, message, context)
        case SettleChallenge():
            after = settle_challenge(state, signer, message, context)
        case ReportService():
            after = report_service(state, signer, message, context)
        case Pulse():
            check_pulse(state, signer, message, context)
            after = state
    return after
