"""state' = f(state, transaction): the envelope is opened once, then the rules of its kind decide.

Trusts nothing about a transaction but that it was read as an envelope.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from consensus.crypto.signing import Signed, check_signature, decode_signed
from consensus.errors import EncodingError, InvalidTransactionError, Reject, SignatureError
from consensus.ledger.context import TransitionContext
from consensus.ledger.fraud import prove_fraud
from consensus.ledger.jobs import cancel_job, close_job, start_job, submit_job
from consensus.ledger.rewards import issue_block_reward
from consensus.ledger.rounds import commit_round, settle_rounds
from consensus.ledger.state import LedgerState
from consensus.ledger.storage import apply_storage
from consensus.ledger.transfers import apply_transfer
from consensus.primitives.encoding import decode_any
from consensus.primitives.integers import PublicKey
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
    ProveStorage,
    Pulse,
    ReportService,
    SettleChallenge,
    Stake,
    Unstake,
)
from consensus.records.transactions import (
    CancelJob,
    CloseJob,
    ProveFraud,
    SettleRounds,
    StartJob,
    SubmitJob,
    Transaction,
    Transfer,
)
from consensus.records.work import RoundCommit

TRANSACTION_KINDS: Final = (
    Transfer,
    SubmitJob,
    StartJob,
    RoundCommit,
    SettleRounds,
    ProveFraud,
    CancelJob,
    CloseJob,
    Stake,
    Unstake,
    OfferStorage,
    OpenDeal,
    KeepWeights,
    CloseDeal,
    AssignPiece,
    CommitReplica,
    JudgeReplica,
    LeavePiece,
    DropPiece,
    ProveStorage,
    SettleChallenge,
    ReportService,
    Pulse,
)


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction whose signature was checked and whose body was decoded."""

    envelope: Signed
    message: Transaction


def open_transaction(envelope: Signed, context: TransitionContext) -> OpenTransaction:
    """Decode a transaction and check its signature.

    Raises:
        InvalidTransactionError: OVERSIZED, ENCODING or SIGNATURE.
    """
    limit = context.params.max_transaction_bytes
    if len(envelope.body) > limit:
        raise InvalidTransactionError(Reject.OVERSIZED, bytes=len(envelope.body), limit=limit)
    try:
        message = cast("Transaction", decode_any(envelope.body, TRANSACTION_KINDS, "Transaction"))
        check_signature(envelope, context.chain_id)
    except EncodingError as error:
        raise InvalidTransactionError(Reject.ENCODING, error=str(error)) from error
    except SignatureError as error:
        raise InvalidTransactionError(Reject.SIGNATURE, signer=envelope.signer) from error
    return OpenTransaction(envelope, message)


TransactionOpener: TypeAlias = Callable[[bytes, TransitionContext], OpenTransaction]
"""Opens the canonical bytes of an envelope. A node may remember what it opened before: the result never changes."""


def open_encoded(data: bytes, context: TransitionContext) -> OpenTransaction:
    """Decode an envelope and open it.

    Raises:
        EncodingError: not an envelope.
        InvalidTransactionError: OVERSIZED, ENCODING or SIGNATURE.
    """
    return open_transaction(decode_signed(data), context)


def apply_transaction(state: LedgerState, signed: Signed, context: TransitionContext) -> LedgerState:
    """The ledger after one transaction.

    Raises:
        InvalidTransactionError: it breaks a rule; `state` is unchanged, as always.
    """
    return apply_open(state, open_transaction(signed, context), context)


def apply_open(state: LedgerState, transaction: OpenTransaction, context: TransitionContext) -> LedgerState:
    """The ledger after a transaction that is open already. Raises InvalidTransactionError."""
    signer = transaction.envelope.signer
    match transaction.message:
        case Transfer() as message:
            after = apply_transfer(state, signer, message)
        case RoundCommit() as message:
            after = commit_round(state, signer, message, context)
        case SettleRounds() as message:
            after = settle_rounds(state, signer, message, context)
        case SubmitJob() as message:
            after = submit_job(state, signer, message, transaction.envelope.digest, context)
        case StartJob() as message:
            after = start_job(state, signer, message, context)
        case CancelJob() as message:
            after = cancel_job(state, signer, message)
        case CloseJob() as message:
            after = close_job(state, signer, message, context)
        case ProveFraud() as message:
            after = prove_fraud(state, signer, message, context)
        case _ as message:
            after = apply_storage(state, signer, message, transaction.envelope.digest, context)
    return after


def apply_block_body(
    state: LedgerState,
    transactions: Sequence[OpenTransaction],
    producer: PublicKey,
    mechanism: str,
    context: TransitionContext,
) -> LedgerState:
    """The sealed ledger after a block: its transactions in order, then the producer's reward.

    Raises:
        InvalidTransactionError: of the first transaction that breaks a rule; `detail` holds its `transaction` number.
    """
    for number, transaction in enumerate(transactions):
        try:
            state = apply_open(state, transaction, context)
        except InvalidTransactionError as error:
            raise InvalidTransactionError(error.code, transaction=number, **error.detail) from error
    return issue_block_reward(state, producer, mechanism, context.params).sealed()
