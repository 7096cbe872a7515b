"""Answers that are refused without a replay: by the coordinator when they arrive, by the miner when it is asked."""

import numpy as np
import pytest
from msgspec.structs import replace

from cluster.control.reports import ReportRules, check_report
from cluster.node.buffers import bytes_of
from cluster.node.ports import FlatState
from cluster.node.slot_calls import check_bytes
from cluster.node.training import ProgramTrainer
from consensus.crypto.signing import Signed, decode_signed
from consensus.errors import EncodingError, InvalidReportError, Reject, SignatureError
from consensus.ledger.entries import JobStatus
from consensus.ledger.rewards import slot_pay
from consensus.primitives.encoding import decode, encode
from consensus.records.work import Assignment, SlotReport
from tests.kit import lies
from tests.kit.genesis import make_genesis, public_key, secret_key
from tests.kit.site import CHEAT, HONEST, Lie, Site, Task, open_site
from tests.kit.site_run import run_job
from tests.kit.work import word


class Answered:
    """A slot that the cheat has run honestly, before it sends anything."""

    def __init__(self) -> None:
        self.site: Site = open_site()
        self.assignment = self.site.assignment(0)
        reply, _ = self.site.run_slot(encode(self.signed()), CHEAT, self.state())
        self.task = Task(
            site=self.site,
            assignment=self.assignment,
            state=self.state(),
            reply=reply,
            miner=self.site.miners[CHEAT],
        )
        self.rules = ReportRules(
            chain_id=self.site.chain_id, local_steps=1, replay_class=self.site.verifier.replay_class(self.site.job_id)
        )

    def signed(self, **changes: object) -> Signed:
        return self.site.sign("coordinator", replace(self.assignment, **changes))

    def state(self) -> FlatState:
        return ProgramTrainer(self.site.program, threads=1).initial().state

    def code(self, signed: Signed, assignment: Assignment | None = None) -> Reject:
        with pytest.raises(InvalidReportError) as caught:
            check_report(signed, assignment or self.assignment, self.rules)
        return caught.value.code

    def report(self, **changes: object) -> Signed:
        return self.site.sign(CHEAT, replace(self.task.report, **changes))


@pytest.fixture(scope="module")
def answered() -> Answered:
    return Answered()


def test_an_honest_answer_is_taken(answered: Answered) -> None:
    report = check_report(decode_signed(answered.task.reply.report), answered.assignment, answered.rules)
    assert report.update == lies.update_digest(answered.site, answered.task.reply.update)


def test_a_forged_signature(answered: Answered) -> None:
    honest = decode_signed(answered.task.reply.report)
    for forged in (replace(honest, signature=bytes(64)), replace(honest, body=encode(answered.assignment))):
        with pytest.raises(SignatureError):
            check_report(forged, answered.assignment, answered.rules)


def test_a_signature_for_another_chain(answered: Answered) -> None:
    other = make_genesis(network="another")
    signed = replace(answered.report(), signature=answered.site.sign(CHEAT, other).signature)
    with pytest.raises(SignatureError):
        check_report(signed, answered.assignment, answered.rules)


def test_another_record_under_a_valid_signature(answered: Answered) -> None:
    with pytest.raises(EncodingError):
        check_report(answered.site.sign(CHEAT, answered.assignment), answered.assignment, answered.rules)


def test_a_report_for_the_slot_of_another_miner(answered: Answered) -> None:
    others = replace(answered.assignment, miner=public_key(HONEST))
    assert answered.code(answered.report(assignment=others.digest), others) is Reject.SLOT_OWNER
    claimed = answered.report(miner=public_key(HONEST))
    assert answered.code(claimed, others) is Reject.SLOT_OWNER


@pytest.mark.parametrize("change", [{"round": 1}, {"slot": 1}, {"attempt": 1}, {"job": word("another job")}])
def test_a_report_of_another_assignment_is_a_replay(answered: Answered, change: dict[str, object]) -> None:
    asked = replace(answered.assignment, **change)
    assert answered.code(answered.report(), asked) is Reject.REPORT_REPLAYED
    assert answered.code(answered.report(assignment=asked.digest), asked) is Reject.REPORT_REPLAYED
    assert answered.code(answered.report(**change), asked) is Reject.REPORT_REPLAYED


@pytest.mark.parametrize("change", [{"round": 1}, {"slot": 1}, {"step": 1}, {"miner": public_key(HONEST)}])
def test_step_records_of_another_place(answered: Answered, change: dict[str, object]) -> None:
    broken = lies.altered_step(answered.task.report, 0, **change)
    assert answered.code(answered.site.sign(CHEAT, broken)) is Reject.REPORT_SHAPE


def test_more_or_fewer_steps_than_the_job_has(answered: Answered) -> None:
    step = answered.task.report.steps[0]
    for steps in ((), (step, replace(step, step=1))):
        assert answered.code(answered.report(steps=steps)) is Reject.REPORT_SHAPE


def test_work_from_another_state(answered: Answered) -> None:
    elsewhere = lies.altered_step(answered.task.report, 0, weights_in=word("elsewhere"))
    assert answered.code(answered.site.sign(CHEAT, elsewhere)) is Reject.WEIGHTS_IN


def test_a_replay_class_that_escapes_the_audits(answered: Answered) -> None:
    assert answered.code(answered.report(replay_class=lies.unknown_class())) is Reject.REPLAY_CLASS


def test_bytes_that_differ_from_those_signed_for(answered: Answered) -> None:
    trainer = ProgramTrainer(answered.site.program, threads=1)
    check_bytes(answered.task.reply.update, answered.task.report, trainer)
    with pytest.raises(InvalidReportError) as caught:
        check_bytes(lies.other_bytes(answered.task).update, answered.task.report, trainer)
    assert caught.value.code is Reject.UPDATE


def nothing_readable(task: Task) -> object:
    return replace_report(task, b"\xc1")


def forged_signature(task: Task) -> object:
    return replace_report(task, encode(replace(decode_signed(task.reply.report), signature=bytes(64))))


def earlier_report(task: Task) -> object:
    """The report of an earlier round again, while the slot was never run."""
    return task.answer(replace(task.report, round=task.report.round + 1))


def replace_report(task: Task, report: bytes) -> object:
    return type(task.reply)(report=report, update=task.reply.update)


def numbers_of_another_type(task: Task) -> object:
    return type(task.reply)(report=task.reply.report, update=task.reply.update.astype(np.float64))


@pytest.mark.parametrize(
    "lie",
    [
        lies.other_bytes,
        lies.short_update,
        lies.other_class,
        numbers_of_another_type,
        nothing_readable,
        forged_signature,
        earlier_report,
    ],
)
def test_who_sends_such_answers_is_out_and_the_job_ends_as_it_should(lie: Lie) -> None:
    site = open_site()
    site.lies[CHEAT] = lie
    run = run_job(site)
    assert site.job.status is JobStatus.COMPLETED
    assert site.job.state == run_job(open_site()).site.job.state
    assert sum(miner == CHEAT for _, _, miner in run.slots_run) <= 2
    assert site.balance(CHEAT) == 0
    assert site.balance(HONEST) == slot_pay(site.job) * site.job.rounds * site.job.slots


# what a miner refuses


def test_a_miner_refuses_an_assignment_of_a_coordinator_of_its_own_choice(answered: Answered) -> None:
    by_itself = answered.site.sign(CHEAT, answered.assignment)
    with pytest.raises(InvalidReportError) as caught:
        answered.site.miners[CHEAT].run_slot(encode(by_itself), answered.state())
    assert caught.value.code is Reject.JOB_UNKNOWN


def test_a_miner_refuses_the_slot_of_another(answered: Answered) -> None:
    with pytest.raises(InvalidReportError) as caught:
        answered.site.miners[HONEST].run_slot(encode(answered.signed()), answered.state())
    assert caught.value.code is Reject.SLOT_OWNER


def test_a_miner_refuses_another_job(answered: Answered) -> None:
    with pytest.raises(InvalidReportError) as caught:
        answered.site.miners[CHEAT].run_slot(encode(answered.signed(job=word("another"))), answered.state())
    assert caught.value.code is Reject.JOB_UNKNOWN


def test_a_miner_refuses_a_forged_assignment(answered: Answered) -> None:
    forged = replace(answered.signed(), signature=secret_key("coordinator").sign(b"something else"))
    with pytest.raises(SignatureError):
        answered.site.miners[CHEAT].run_slot(encode(forged), answered.state())


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x90", bytes(100)])
def test_a_miner_refuses_what_it_cannot_read(answered: Answered, garbage: bytes) -> None:
    with pytest.raises(EncodingError):
        answered.site.miners[CHEAT].run_slot(garbage, answered.state())


def test_a_state_other_than_the_assigned_one_convicts_nobody(answered: Answered) -> None:
    """A coordinator that hands out other bytes than it signed for harms its own job, not the miner's name."""
    other = answered.state()
    other[0] += 1
    reply, _ = answered.site.miners[CHEAT].run_slot(encode(answered.signed()), other)
    report = decode(decode_signed(reply.report).body, SlotReport)
    assert report.steps[0].weights_in == answered.assignment.state
    assert bytes_of(reply.update) != bytes_of(answered.task.reply.update)
