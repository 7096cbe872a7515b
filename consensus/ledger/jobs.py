"""The life of a job as a whole: submitted, started, cancelled, closed. Its rounds are judged in `rounds`."""

from typing import Final

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import TransitionContext, check_committee, load_job, load_running_job
from consensus.ledger.deals import checked_terms
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.ledger.state import LedgerState
from consensus.ledger.transfers import credit, debit
from consensus.primitives.integers import MAX_UINT63, Credits, PublicKey
from consensus.records.transactions import CancelJob, CloseJob, JobId, StartJob, SubmitJob

_OUTCOMES: Final = {status.value: status for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)}


def submit_job(
    state: LedgerState, signer: PublicKey, message: SubmitJob, job: JobId, context: TransitionContext
) -> LedgerState:
    """Put the reward into escrow under a new job."""
    if job in state.jobs:
        raise InvalidTransactionError(Reject.JOB_EXISTS, job=job)
    if message.rounds == 0 or message.slots == 0:
        raise InvalidTransactionError(Reject.AMOUNT, rounds=message.rounds, slots=message.slots)
    if message.audit_ppm < context.params.min_audit_ppm:
        least = context.params.min_audit_ppm
        raise InvalidTransactionError(Reject.AMOUNT, audit_ppm=message.audit_ppm, least=least)
    escrow = message.reward + (0 if message.storage is None else checked_terms(message.storage).escrow)
    if escrow > MAX_UINT63:
        raise InvalidTransactionError(Reject.AMOUNT, escrow=escrow)
    account = JobAccount(
        client=signer,
        name=message.name,
        spec=message.spec,
        dataset=message.dataset,
        rounds=message.rounds,
        slots=message.slots,
        audit_ppm=message.audit_ppm,
        reward=message.reward,
        escrow=Credits(escrow),
        storage=message.storage,
    )
    return debit(state, signer, message.sequence, Credits(escrow)).with_job(job, account)


def start_job(state: LedgerState, signer: PublicKey, message: StartJob, context: TransitionContext) -> LedgerState:
    """Open a queued job, or hand a running one to a coordinator that it has not had before."""
    check_committee(signer, context)
    job = load_job(state, message.job)
    if job.status is JobStatus.QUEUED:
        started = replace(job, status=JobStatus.RUNNING, coordinator=message.coordinator, start_height=context.height)
        return state.with_job(message.job, started)
    named_before = message.coordinator == job.coordinator or message.coordinator in job.retired
    if job.status is not JobStatus.RUNNING or job.coordinator is None or named_before:
        raise InvalidTransactionError(Reject.JOB_STATE, status=job.status.value, coordinator=message.coordinator)
    retired = (*job.retired, job.coordinator)
    return state.with_job(message.job, replace(job, coordinator=message.coordinator, retired=retired))


def cancel_job(state: LedgerState, signer: PublicKey, message: CancelJob) -> LedgerState:
    """Refund a queued job, or take no more rounds of a running one."""
    job = load_job(state, message.job)
    if signer != job.client:
        raise InvalidTransactionError(Reject.NOT_AUTHORISED, signer=signer)
    counted = debit(state, signer, message.sequence, Credits(0))
    if job.status is JobStatus.QUEUED:
        return _ended(counted, message.job, replace(job, status=JobStatus.CANCELLED, closing=True))
    if job.status is JobStatus.COMPLETED and job.kept_for_storage:  # nobody has opened the deal
        return _ended(counted, message.job, replace(job, storage=None))
    if job.status is not JobStatus.RUNNING or job.cancelled:
        raise InvalidTransactionError(Reject.JOB_STATE, status=job.status.value, cancelled=job.cancelled)
    return counted.with_job(message.job, replace(job, cancelled=True, closing=True))


def close_job(state: LedgerState, signer: PublicKey, message: CloseJob, context: TransitionContext) -> LedgerState:
    """End a job whose rounds are settled."""
    check_committee(signer, context)
    job = load_running_job(state, message.job)
    if job.settled_round != job.next_round:
        raise InvalidTransactionError(Reject.SETTLEMENT, settled=job.settled_round, committed=job.next_round)
    status = _OUTCOMES.get(message.outcome)
    if status is None or not _is_earned(job, status):
        raise InvalidTransactionError(Reject.JOB_STATE, outcome=message.outcome, cancelled=job.cancelled)
    ended = replace(job, status=status, closing=True, reason=message.reason, metrics=message.metrics)
    return _ended(state, message.job, ended)


def _is_earned(job: JobAccount, outcome: JobStatus) -> bool:
    """Whether a job can end this way. It can fail at any time."""
    if outcome is JobStatus.COMPLETED:
        return job.closing and job.next_round > 0 and not job.cancelled
    return outcome is JobStatus.FAILED or job.cancelled


def _ended(state: LedgerState, key: JobId, job: JobAccount) -> LedgerState:
    """Pay what is left of the escrow back to the client, but for what is to keep the weights of a completed job."""
    kept = job.kept_for_storage if job.status is JobStatus.COMPLETED else 0
    rest = job.escrow - kept
    paid_back = credit(state, job.client, Credits(rest)) if rest else state
    return paid_back.with_job(key, replace(job, escrow=Credits(kept)))
