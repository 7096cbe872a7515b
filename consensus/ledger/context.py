"""What a transaction is judged against besides the ledger itself, and the words that judging shares."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.entries import Deal, JobAccount, JobStatus
from consensus.ledger.state import LedgerState
from consensus.params import ConsensusParams
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.storage import DealId
from consensus.records.transactions import JobId

BeaconSource: TypeAlias = Callable[[Height], Digest | None]
"""The beacon that the final block of a height released; None while there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionContext:
    """The chain and the block that transactions are applied in."""

    chain_id: Digest
    params: ConsensusParams
    committee: tuple[PublicKey, ...]
    height: Height
    beacon: BeaconSource


def check_committee(signer: PublicKey, context: TransitionContext) -> None:
    """Raises InvalidTransactionError unless a supervisor signed."""
    if signer not in context.committee:
        raise InvalidTransactionError(Reject.NOT_AUTHORISED, signer=signer)


def load_job(state: LedgerState, job: JobId) -> JobAccount:
    """A job of the ledger, or InvalidTransactionError."""
    found = state.jobs.get(job)
    if found is None:
        raise InvalidTransactionError(Reject.JOB_UNKNOWN, job=job)
    return found


def load_running_job(state: LedgerState, job: JobId) -> JobAccount:
    """A job that runs, or InvalidTransactionError."""
    found = load_job(state, job)
    if found.status is not JobStatus.RUNNING:
        raise InvalidTransactionError(Reject.JOB_STATE, job=job, status=found.status.value)
    return found


def load_open_deal(state: LedgerState, deal: DealId) -> Deal:
    """A deal that is not over, or InvalidTransactionError."""
    found = state.deals.get(deal)
    if found is None:
        raise InvalidTransactionError(Reject.DEAL_UNKNOWN, deal=deal)
    if not found.is_open:
        raise InvalidTransactionError(Reject.DEAL_STATE, deal=deal, status=found.status.value)
    return found
