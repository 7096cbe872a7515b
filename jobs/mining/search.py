"""From a finished slot to its report, and from the report to a block's seal if one of its nonces wins. Judges nothing.

The number of nonces of a step is fixed by the work it stands for, and so is each nonce: the search is a short loop over
what the rules allow, never a reason to change what is reported.
"""

from consensus.crypto.signing import Signed
from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.mechanisms.pouw.seal import PouwSeal
from consensus.params import ConsensusParams
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from consensus.records.block import Header
from consensus.records.work import Assignment, SlotReport, StepRecord
from jobs.mining.trace import FinishedSlot, FinishedStep


def build_report(
    assignment: Assignment, result: FinishedSlot, *, replay_class: Digest, template: Header | None = None
) -> SlotReport:
    """The report of a slot that was run as assigned; `template` is the header the miner commits to, if any."""
    steps = (_step_record(assignment, number, step) for number, step in enumerate(result.steps))
    return SlotReport(
        job=assignment.job,
        round=assignment.round,
        slot=assignment.slot,
        attempt=assignment.attempt,
        miner=assignment.miner,
        replay_class=replay_class,
        assignment=assignment.digest,
        steps=tuple(steps),
        update=result.update_digest,
        examples=result.examples,
        template=template.template_hash if template else None,
    )


def _step_record(assignment: Assignment, number: int, step: FinishedStep) -> StepRecord:
    return StepRecord(
        job=assignment.job,
        round=assignment.round,
        slot=assignment.slot,
        step=number,
        miner=assignment.miner,
        indices=step.indices,
        batch=step.batch,
        batch_bytes=step.batch_bytes,
        weights_in=step.weights_in,
        weights_out=step.weights_out,
        weight_bytes=step.weight_bytes,
        loss_bits=step.loss_bits,
    )


def search(report: SlotReport, header: Header, params: ConsensusParams) -> tuple[int, int] | None:
    """Step and attempt of the first nonce with which this header wins, or None."""
    header_bytes = encode(header)
    for number, step in enumerate(report.steps):
        digest = step.digest
        for attempt in range(tries(params, step)):
            if is_below_target(proof_of_work_hash(header_bytes, nonce(digest, attempt)), header.target):
                return number, attempt
    return None


def find_seal(
    assignment: Signed,
    report: SlotReport,
    signed_report: Signed,
    *,
    commitment: Signed,
    header: Header,
    params: ConsensusParams,
) -> PouwSeal | None:
    """The seal that makes a block of `header`, if one of the report's nonces wins. `commitment` named it before."""
    found = search(report, header, params)
    if found is None:
        return None
    step, attempt = found
    return PouwSeal(
        assignment=encode(assignment),
        report=encode(signed_report),
        step=step,
        attempt=attempt,
        commitment=encode(commitment),
    )
