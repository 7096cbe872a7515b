"""Reports against assignments and commits: one valid case, then one fault at a time."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cluster.control.reports import ReportRules, check_committed_reports, check_report, check_steps
from consensus.crypto.signing import Signed, sign
from consensus.errors import EncodingError, InvalidReportError, Reject, SignatureError
from consensus.records.work import Assignment, RoundCommit, SlotReport
from tests.kit.genesis import public_key, secret_key
from tests.kit.work import make_assignment, make_commit, make_report, make_step, word

CHAIN, JOB = word("chain"), word("job")
RULES = ReportRules(chain_id=CHAIN, local_steps=2, replay_class=word("class"))
ASSIGNMENT = make_assignment(JOB, 3, 1, attempt=2)
REPORT = make_report(ASSIGNMENT)


def signed(report: SlotReport | Assignment, signer: str = "miner") -> Signed:
    return sign(secret_key(signer), CHAIN, report)


def refusal(signed_report: Signed, rules: ReportRules = RULES) -> Reject:
    with pytest.raises(InvalidReportError) as caught:
        check_report(signed_report, ASSIGNMENT, rules)
    return caught.value.code


def with_step(number: int, **changes: object) -> SlotReport:
    steps = list(REPORT.steps)
    steps[number] = replace(steps[number], **changes)
    return replace(REPORT, steps=tuple(steps))


def test_takes_the_answer_to_the_assignment() -> None:
    assert check_report(signed(REPORT), ASSIGNMENT, RULES) == REPORT


def test_refuses_a_forged_signature() -> None:
    forged = replace(signed(REPORT), signature=bytes(64))
    with pytest.raises(SignatureError):
        check_report(forged, ASSIGNMENT, RULES)


def test_refuses_what_is_no_report() -> None:
    with pytest.raises(EncodingError):
        check_report(signed(ASSIGNMENT), ASSIGNMENT, RULES)


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, miner=public_key("rival"))])
def test_refuses_the_signature_of_another_miner(report: SlotReport) -> None:
    assert refusal(signed(report, "rival")) is Reject.SLOT_OWNER


def test_refuses_a_report_in_the_name_of_another_miner() -> None:
    assert refusal(signed(replace(REPORT, miner=public_key("rival")))) is Reject.SLOT_OWNER


@pytest.mark.parametrize(
    "change", [{"assignment": word("other")}, {"job": word("other")}, {"round": 2}, {"slot": 0}, {"attempt": 1}]
)
def test_refuses_the_answer_to_another_assignment(change: dict[str, object]) -> None:
    assert refusal(signed(replace(REPORT, **change))) is Reject.REPORT_REPLAYED


@pytest.mark.parametrize(
    "report",
    [
        make_report(ASSIGNMENT, steps=1),
        make_report(ASSIGNMENT, steps=3),
        with_step(1, step=0),
        with_step(0, slot=0),
        with_step(0, round=2),
        with_step(0, job=word("other")),
        with_step(1, miner=public_key("rival")),
    ],
)
def test_refuses_steps_that_are_not_of_the_slot(report: SlotReport) -> None:
    assert refusal(signed(report)) is Reject.REPORT_SHAPE
    with pytest.raises(InvalidReportError):
        check_steps(report, 2)


def test_refuses_a_class_in_which_nobody_checks() -> None:
    assert refusal(signed(replace(REPORT, replay_class=word("own")))) is Reject.REPLAY_CLASS


def test_refuses_another_start_state() -> None:
    assert refusal(signed(with_step(0, weights_in=word("own")))) is Reject.WEIGHTS_IN


def committed(change: Callable[[SlotReport], SlotReport] = lambda report: report) -> tuple[RoundCommit, list[Signed]]:
    """A round of two slots whose second report was changed before it was signed."""
    first, second = (make_report(make_assignment(JOB, 3, slot)) for slot in (0, 1))
    reports = [signed(first), signed(change(second))]
    return make_commit(JOB, 3, reports), reports


def commit_refusal(commit: RoundCommit, reports: list[Signed]) -> Reject:
    with pytest.raises(InvalidReportError) as caught:
        check_committed_reports(commit, reports, CHAIN)
    return caught.value.code


def test_takes_the_reports_of_a_commit() -> None:
    check_committed_reports(*committed(), CHAIN)


def test_refuses_reports_that_the_commit_does_not_name() -> None:
    commit, reports = committed()
    assert commit_refusal(commit, reports[:1]) is Reject.REPORT_SHAPE
    assert commit_refusal(commit, reports[::-1]) is Reject.REPORT_SHAPE


def test_refuses_a_committed_report_with_a_forged_signature() -> None:
    commit, reports = committed()
    with pytest.raises(SignatureError):
        check_committed_reports(commit, [reports[0], replace(reports[1], signature=bytes(64))], CHAIN)


def test_refuses_a_commit_that_credits_another_miner() -> None:
    commit, reports = committed()
    slots = (commit.slots[0], replace(commit.slots[1], miner=public_key("rival")))
    assert commit_refusal(replace(commit, slots=slots), reports) is Reject.SLOT_OWNER


def test_refuses_a_committed_report_in_the_name_of_another() -> None:
    assert commit_refusal(*committed(lambda r: replace(r, miner=public_key("rival")))) is Reject.SLOT_OWNER


@pytest.mark.parametrize("change", [{"job": word("other")}, {"round": 2}, {"slot": 0}, {"steps": ()}])
def test_refuses_a_committed_report_of_another_slot(change: dict[str, object]) -> None:
    assert commit_refusal(*committed(lambda report: replace(report, **change))) is Reject.REPORT_SHAPE


def test_refuses_a_committed_report_from_another_state() -> None:
    other = make_step(make_assignment(JOB, 3, 1), weights_in=word("own"))
    assert commit_refusal(*committed(lambda report: replace(report, steps=(other,)))) is Reject.WEIGHTS_IN
