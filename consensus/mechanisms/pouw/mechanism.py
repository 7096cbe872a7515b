"""The rules of a pouw seal. What they cannot see, the work itself, they ask to have replayed.

The miner proves that the coordinator gave it the slot, that it reported the step the nonce comes from, and that it had
committed to this very block before it could know the step's result.
"""

from typing import Final

from consensus.errors import InvalidBlockError, Reject
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.ledger.state import LedgerState
from consensus.mechanisms.base import ReplayRequest, SealContext
from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.mechanisms.pouw.seal import OpenSeal, check_signed_by, open_seal
from consensus.params import ConsensusParams
from consensus.ports import WorkLog
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.block import Header
from consensus.records.work import Assignment, SlotReport, StepRecord


class ProofOfUsefulWork:
    """Blocks mined with the steps of training slots."""

    name: Final = "pouw"

    def check_seal(self, header: Header, seal: bytes, context: SealContext) -> ReplayRequest | None:
        """The winning slot, to be replayed. Raises InvalidBlockError."""
        opened = open_seal(seal)
        _check_producer(header.producer, context.parent_state)
        job = _load_job(opened.report.job, context.parent_state)
        _check_signatures(opened, job, header.producer, context.chain_id)
        _check_assignment(opened.assignment, opened.report, header.producer, context.work)
        _check_steps(opened.report)
        _check_commitment(opened, header, context.params, context.work)
        step = _winning_step(opened, context.params)
        _check_work(header, step, opened.seal.attempt)
        return ReplayRequest(
            job=opened.report.job,
            round=opened.report.round,
            slot=opened.report.slot,
            report=opened.seal.report,
            step=opened.seal.step,
        )


def _check_producer(producer: PublicKey, state: LedgerState) -> None:
    if state.account(producer).excluded:
        raise InvalidBlockError(Reject.MINER_EXCLUDED, miner=producer)


def _load_job(job: Digest, state: LedgerState) -> JobAccount:
    found = state.jobs.get(job)
    if found is None or found.status is not JobStatus.RUNNING:
        raise InvalidBlockError(Reject.JOB_STATE, job=job, status="unknown" if found is None else found.status.value)
    return found


def _check_signatures(opened: OpenSeal, job: JobAccount, producer: PublicKey, chain_id: Digest) -> None:
    """The coordinator assigned, the miner reported and committed."""
    if not opened.assignment.miner == opened.report.miner == producer:
        miner = opened.report.miner
        raise InvalidBlockError(Reject.SLOT_OWNER, producer=producer, miner=miner, assigned=opened.assignment.miner)
    check_signed_by(opened.signed_assignment, job.coordinator, chain_id, "assignment")
    check_signed_by(opened.signed_report, producer, chain_id, "report")
    check_signed_by(opened.signed_commitment, producer, chain_id, "commitment")


def _check_assignment(assignment: Assignment, report: SlotReport, producer: PublicKey, work: WorkLog) -> None:
    """The report is for the assigned slot, and that slot starts from the state the chain knows."""
    given = (assignment.digest, assignment.job, assignment.round, assignment.slot, assignment.attempt)
    if given != (report.assignment, report.job, report.round, report.slot, report.attempt):
        raise InvalidBlockError(Reject.ASSIGNMENT, miner=producer, round=report.round, slot=report.slot)
    if not work.is_start_state(report.job, report.round, assignment.state):
        raise InvalidBlockError(Reject.STATE_UNKNOWN, round=report.round, actual=assignment.state)
    if report.steps and report.steps[0].weights_in != assignment.state:
        raise InvalidBlockError(Reject.WEIGHTS_IN, expected=assignment.state, actual=report.steps[0].weights_in)


def _check_steps(report: SlotReport) -> None:
    """Every step names its own place. Otherwise records of another slot could lend their nonces."""
    for number, step in enumerate(report.steps):
        place = (step.job, step.round, step.slot, step.step, step.miner)
        if place != (report.job, report.round, report.slot, number, report.miner):
            raise InvalidBlockError(Reject.REPORT_SHAPE, round=report.round, slot=report.slot, step=number)


def _check_commitment(opened: OpenSeal, header: Header, params: ConsensusParams, work: WorkLog) -> None:
    """The template was fixed before the slot was run. Otherwise the header could be varied until a known nonce wins."""
    commitment, report = opened.commitment, opened.report
    if commitment.job != report.job or commitment.miner != report.miner or commitment.template is None:
        raise InvalidBlockError(Reject.NOT_COMMITTED, job=commitment.job, miner=commitment.miner)
    if commitment.template != header.template_hash:
        raise InvalidBlockError(Reject.COMMITMENT_CHANGED, committed=commitment.template, actual=header.template_hash)
    if commitment.round + params.commit_lead > report.round:
        raise InvalidBlockError(
            Reject.COMMITMENT_TOO_LATE, committed=commitment.round, used=report.round, lead=params.commit_lead
        )
    digest = opened.signed_commitment.digest
    if digest not in work.commitments(commitment.job, commitment.round, commitment.miner):
        raise InvalidBlockError(Reject.NOT_COMMITTED, round=commitment.round, slot=commitment.slot, report=digest)
    _check_newest(commitment, report.round - params.commit_lead, work)


def _check_newest(commitment: SlotReport, last_round: int, work: WorkLog) -> None:
    """A result can be tried with one header: that of the miner's first slot in the last round where it had one.

    Otherwise each report could commit to another header, and every result be tried with all of them.
    """
    for number in range(commitment.round + 1, last_round + 1):
        if None not in work.commitments(commitment.job, number, commitment.miner):
            raise InvalidBlockError(Reject.COMMITMENT_SUPERSEDED, committed=commitment.round, newer=number)


def _winning_step(opened: OpenSeal, params: ConsensusParams) -> StepRecord:
    seal, steps = opened.seal, opened.report.steps
    if seal.step >= len(steps):
        raise InvalidBlockError(Reject.STEP_NOT_IN_REPORT, step=seal.step, steps=len(steps))
    step = steps[seal.step]
    if seal.attempt >= tries(params, step):
        raise InvalidBlockError(Reject.TRIES, attempt=seal.attempt, tries=tries(params, step))
    return step


def _check_work(header: Header, step: StepRecord, attempt: int) -> None:
    work_hash = proof_of_work_hash(encode(header), nonce(step.digest, attempt))
    if not is_below_target(work_hash, header.target):
        raise InvalidBlockError(Reject.DIFFICULTY, target=header.target, actual=work_hash)
