"""Whether a slot report is the answer to the assignment it claims to answer. Everything that needs no replay."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.crypto.signing import Signed, open_signed
from consensus.errors import InvalidReportError, Reject
from consensus.primitives.integers import Digest
from consensus.records.work import Assignment, RoundCommit, SlotReport


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRules:
    """What every report of one job has to fit."""

    chain_id: Digest
    local_steps: int
    replay_class: Digest
    """That of the verifiers. A miner that names another class would escape every audit."""


def check_report(signed: Signed, assignment: Assignment, rules: ReportRules) -> SlotReport:
    """Open a signed report and hold it against its assignment.

    Raises:
        SignatureError, EncodingError: the envelope is forged or malformed.
        InvalidReportError: SLOT_OWNER (another miner's slot), REPORT_REPLAYED (an answer to an earlier assignment),
            REPORT_SHAPE (step records that do not belong to the slot), WEIGHTS_IN (another start state),
            REPLAY_CLASS (one in which nobody here can check it).
    """
    report = open_signed(signed, SlotReport, rules.chain_id)
    if signed.signer != assignment.miner or report.miner != assignment.miner:
        raise InvalidReportError(Reject.SLOT_OWNER, expected=assignment.miner, actual=report.miner)
    if report.assignment != assignment.digest or _place(report) != _place(assignment):
        raise InvalidReportError(Reject.REPORT_REPLAYED, expected=_place(assignment), actual=_place(report))
    check_steps(report, rules.local_steps)
    if report.replay_class != rules.replay_class:
        raise InvalidReportError(Reject.REPLAY_CLASS, expected=rules.replay_class, actual=report.replay_class)
    if report.steps[0].weights_in != assignment.state:
        raise InvalidReportError(Reject.WEIGHTS_IN, expected=assignment.state, actual=report.steps[0].weights_in)
    return report


def check_committed_reports(commit: RoundCommit, reports: Sequence[Signed], chain_id: Digest) -> None:
    """Require that these signed reports are the ones a round commit stands for.

    A report that is kept can later be evidence, so it must start from the very state that the commit names.

    Raises:
        SignatureError, EncodingError: an envelope is forged or malformed.
        InvalidReportError: REPORT_SHAPE, SLOT_OWNER or WEIGHTS_IN.
    """
    if tuple(signed.digest for signed in reports) != tuple(slot.report for slot in commit.slots):
        raise InvalidReportError(Reject.REPORT_SHAPE, round=commit.round, reports=len(reports))
    for number, (signed, slot) in enumerate(zip(reports, commit.slots, strict=True)):
        report = open_signed(signed, SlotReport, chain_id)
        if signed.signer != slot.miner or report.miner != slot.miner:
            raise InvalidReportError(Reject.SLOT_OWNER, slot=number, expected=slot.miner, actual=report.miner)
        if (report.job, report.round, report.slot) != (commit.job, commit.round, number) or not report.steps:
            raise InvalidReportError(Reject.REPORT_SHAPE, round=commit.round, slot=number)
        if report.steps[0].weights_in != commit.state_in:
            raise InvalidReportError(Reject.WEIGHTS_IN, expected=commit.state_in, actual=report.steps[0].weights_in)


def check_steps(report: SlotReport, local_steps: int) -> None:
    """Raises InvalidReportError(REPORT_SHAPE) unless the report has one record a step, each of this slot, in order."""
    if len(report.steps) != local_steps:
        raise InvalidReportError(Reject.REPORT_SHAPE, expected=local_steps, actual=len(report.steps))
    for number, record in enumerate(report.steps):
        belongs = (record.job, record.round, record.slot) == (report.job, report.round, report.slot)
        if not belongs or record.step != number or record.miner != report.miner:
            raise InvalidReportError(Reject.REPORT_SHAPE, step=number)


def _place(record: SlotReport | Assignment) -> tuple[Digest, int, int, int]:
    return record.job, record.round, record.slot, record.attempt
