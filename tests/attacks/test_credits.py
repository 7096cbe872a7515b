"""Attempts to take, make or keep credits. What the supervisor acknowledges is what the chain will hold."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, decode_signed, signing_bytes
from consensus.errors import ConsensusError, InvalidReportError, InvalidTransactionError, Reject, SignatureError
from consensus.ledger.entries import JobStatus
from consensus.ledger.transition import apply_transaction
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Credits, Digest, Sequence
from consensus.records.transactions import (
    AuditedSlot,
    CancelJob,
    CloseJob,
    ProveFraud,
    SettleRounds,
    StartJob,
    SubmitJob,
    Transfer,
)
from consensus.records.work import RoundCommit, SlotCommit, SlotReport
from tests.kit.genesis import FUNDS, make_genesis, public_key, secret_key
from tests.kit.site import CHEAT, HONEST, REWARD, Site, open_site
from tests.kit.site_run import run_job
from tests.kit.work import word

COMMITTED_ROUNDS = 3


@pytest.fixture
def fresh() -> Site:
    """A job that is started; no round was run."""
    return open_site()


@pytest.fixture(scope="module")
def under_way() -> Site:
    """Three rounds are committed and final, none is settled: their audits are still due."""
    site = open_site()
    run_job(site, rounds_per_block=100, stops_after_round=COMMITTED_ROUNDS - 1)
    site.append_quiet_block()
    assert (site.job.next_round, site.job.settled_round) == (COMMITTED_ROUNDS, 0)
    return site


def refusal(site: Site, signer: SecretKey | str, message: Record) -> Reject:
    with pytest.raises(InvalidTransactionError) as caught:
        site.supervisor.submit(encode(site.sign(signer, message)))
    return caught.value.code


def refused_in_block(site: Site, signed: Signed) -> Reject:
    """The code that a block with this transaction would be refused with. A node takes the same bytes only once."""
    with pytest.raises(InvalidTransactionError) as caught:
        apply_transaction(site.supervisor.chain.view.state, signed, site.supervisor.chain.view.context)
    return caught.value.code


def transfer(site: Site, amount: int, sequence: int = 0, to: str = CHEAT) -> Signed:
    return site.sign("other", Transfer(sequence=Sequence(sequence), recipient=public_key(to), amount=Credits(amount)))


# spending


def test_spending_the_same_credits_twice(fresh: Site) -> None:
    fresh.supervisor.submit(encode(transfer(fresh, FUNDS)))
    second = transfer(fresh, FUNDS, to=HONEST)
    with pytest.raises(InvalidTransactionError) as caught:
        fresh.supervisor.submit(encode(second))
    assert caught.value.code is Reject.SEQUENCE
    next_in_order = Transfer(sequence=Sequence(1), recipient=public_key(HONEST), amount=Credits(1))
    assert refusal(fresh, "other", next_in_order) is Reject.FUNDS
    fresh.append_quiet_block()
    assert (fresh.balance(CHEAT), fresh.balance(HONEST), fresh.balance("other")) == (FUNDS, 0, 0)


def test_sending_a_transfer_again_moves_nothing_again(fresh: Site) -> None:
    data = encode(transfer(fresh, 10))
    first = fresh.supervisor.submit(data)
    assert fresh.supervisor.submit(data) == first
    fresh.append_quiet_block()
    assert fresh.supervisor.submit(data) == first
    assert not fresh.append_quiet_block()
    assert refused_in_block(fresh, decode_signed(data)) is Reject.SEQUENCE
    assert fresh.balance(CHEAT) == 10


def test_a_transfer_signed_by_another_or_for_another_chain(fresh: Site) -> None:
    honest = transfer(fresh, 10)
    other_chain = for_another_chain(honest)
    for forged in (replace(honest, signature=bytes(64)), replace(honest, signer=public_key("client")), other_chain):
        with pytest.raises(InvalidTransactionError) as caught:
            fresh.supervisor.submit(encode(forged))
        assert caught.value.code is Reject.SIGNATURE


def for_another_chain(signed: Signed) -> Signed:
    """The same words, signed for another chain."""
    other = make_genesis(network="another").chain_id
    return replace(signed, signature=secret_key("other").sign(signing_bytes(other, signed.body)))


def test_credits_out_of_nothing(fresh: Site) -> None:
    message = Transfer(sequence=Sequence(0), recipient=public_key(HONEST), amount=Credits(1))
    assert refusal(fresh, CHEAT, message) is Reject.FUNDS
    assert refusal(fresh, "other", replace(message, amount=Credits(0))) is Reject.AMOUNT


def test_a_job_that_its_client_cannot_pay(fresh: Site) -> None:
    job = SubmitJob(
        sequence=Sequence(0),
        name="free",
        spec=word("spec"),
        dataset=word("dataset"),
        rounds=1,
        slots=1,
        audit_ppm=1_000_000,
        reward=Credits(FUNDS + 1),
    )
    assert refusal(fresh, "other", job) is Reject.FUNDS
    assert refusal(fresh, "other", replace(job, reward=Credits(1), audit_ppm=1)) is Reject.AMOUNT


# a job's escrow


@pytest.mark.parametrize("thief", [CHEAT, "other", "coordinator"])
def test_only_the_client_cancels(fresh: Site, thief: str) -> None:
    assert refusal(fresh, thief, CancelJob(sequence=Sequence(0), job=fresh.job_id)) is Reject.NOT_AUTHORISED


@pytest.mark.parametrize("thief", [CHEAT, "client", "coordinator"])
def test_only_a_supervisor_starts_settles_closes_or_accuses(fresh: Site, thief: str) -> None:
    messages = (
        StartJob(job=fresh.job_id, coordinator=public_key(CHEAT)),
        SettleRounds(job=fresh.job_id, upto=1, audited=()),
        CloseJob(job=fresh.job_id, outcome=JobStatus.COMPLETED.value),
        ProveFraud(job=fresh.job_id, report=b"", code=Reject.LOSS.value),
    )
    assert {refusal(fresh, thief, message) for message in messages} == {Reject.NOT_AUTHORISED}


def test_a_cancelled_job_is_refunded_once(fresh: Site) -> None:
    cancel = CancelJob(sequence=Sequence(1), job=fresh.job_id)
    fresh.supervisor.submit(encode(fresh.sign("client", cancel)))
    assert refusal(fresh, "client", replace(cancel, sequence=Sequence(2))) is Reject.JOB_STATE
    ((job, outcome, reason),) = fresh.supervisor.closable()
    fresh.supervisor.close_job(job, outcome, reason, ())
    fresh.append_quiet_block()
    assert (fresh.job.status, fresh.job.escrow, fresh.balance("client")) == (JobStatus.CANCELLED, 0, FUNDS)
    assert refusal(fresh, fresh.authority, CloseJob(job=job, outcome="cancelled")) is Reject.JOB_STATE


def test_an_old_start_does_not_bring_an_old_coordinator_back(fresh: Site) -> None:
    fresh.supervisor.start_job(fresh.job_id, public_key("second coordinator"))
    fresh.append_quiet_block()
    again = StartJob(job=fresh.job_id, coordinator=public_key("coordinator"))
    assert refused_in_block(fresh, fresh.sign(fresh.authority, again)) is Reject.JOB_STATE


# settlements


def settlement(site: Site, upto: int = COMMITTED_ROUNDS) -> SettleRounds:
    """What an honest supervisor would say: every slot of these rounds was audited."""
    audited = tuple(AuditedSlot(round=number, slot=slot) for number in range(upto) for slot in range(2))
    return SettleRounds(job=site.job_id, upto=upto, audited=audited)


SETTLEMENT_LIES: list[Callable[[SettleRounds], SettleRounds]] = [
    lambda honest: replace(honest, audited=honest.audited[:-1]),
    lambda honest: replace(honest, audited=()),
    lambda honest: replace(honest, audited=(*honest.audited, honest.audited[0])),
    lambda honest: replace(honest, audited=tuple(reversed(honest.audited))),
    lambda honest: replace(honest, upto=COMMITTED_ROUNDS + 1),
    lambda honest: replace(honest, upto=0, audited=()),
]


@pytest.mark.parametrize("lie", SETTLEMENT_LIES)
def test_a_settlement_names_exactly_the_drawn_slots(
    under_way: Site, lie: Callable[[SettleRounds], SettleRounds]
) -> None:
    assert refusal(under_way, under_way.authority, lie(settlement(under_way))) is Reject.SETTLEMENT


def test_a_job_is_not_closed_over_rounds_that_wait_for_their_audits(under_way: Site) -> None:
    for outcome in ("completed", "failed"):
        close = CloseJob(job=under_way.job_id, outcome=outcome)
        assert refusal(under_way, under_way.authority, close) is Reject.SETTLEMENT


def test_rounds_are_paid_once() -> None:
    site = open_site()
    run_job(site)
    last = max(message.upto for message in site.messages() if isinstance(message, SettleRounds))
    assert last == site.job.rounds
    for message in site.messages():
        if isinstance(message, SettleRounds):
            assert refused_in_block(site, site.sign(site.authority, message)) is Reject.JOB_STATE
    assert site.balance(HONEST) + site.balance(CHEAT) + site.balance("client") == FUNDS
    assert site.job.escrow == 0


# evidence against the innocent


def committed_report(site: Site, round_number: int = 1, slot: int = 0) -> Signed:
    """The report that the chain names for a slot."""
    pending = next(p for p in site.supervisor.chain.view.state.pending_rounds(site.job_id) if p.round == round_number)
    return site.supervisor._stores.reports.load_report(pending.slots[slot].report)


def accusation(site: Site, report: bytes, code: str = Reject.LOSS.value) -> ProveFraud:
    return ProveFraud(job=site.job_id, report=report, code=code)


def test_evidence_that_the_accused_did_not_sign(under_way: Site) -> None:
    site, genuine = under_way, committed_report(under_way)
    report = decode(genuine.body, SlotReport)
    by_another = site.sign(site.authority, replace(report, examples=1))
    assert refusal(site, site.authority, accusation(site, encode(by_another))) is Reject.EVIDENCE
    forged = replace(site.sign(site.authority, replace(report, examples=1)), signer=report.miner)
    assert refusal(site, site.authority, accusation(site, encode(forged))) is Reject.SIGNATURE


def test_evidence_about_a_report_that_no_round_holds(under_way: Site) -> None:
    """Even if the miner signed it: it is not what it was, or will be, paid for."""
    report = decode(committed_report(under_way).body, SlotReport)
    name = HONEST if report.miner == public_key(HONEST) else CHEAT
    for other in (replace(report, examples=1), replace(report, slot=1), replace(report, slot=9)):
        signed = under_way.sign(name, other)
        assert refusal(under_way, under_way.authority, accusation(under_way, encode(signed))) is Reject.EVIDENCE


def test_evidence_that_is_not_a_report_or_names_no_rule(under_way: Site) -> None:
    site, genuine = under_way, encode(committed_report(under_way))
    assert refusal(site, site.authority, accusation(site, b"\xc1")) is Reject.EVIDENCE
    assert refusal(site, site.authority, accusation(site, genuine[:-1])) is Reject.EVIDENCE
    assert refusal(site, site.authority, accusation(site, genuine, code="because")) is Reject.EVIDENCE


def test_evidence_of_another_job(under_way: Site) -> None:
    report = replace(decode(committed_report(under_way).body, SlotReport), job=Digest(bytes(32)))
    signed = under_way.sign(HONEST if report.miner == public_key(HONEST) else CHEAT, report)
    assert refusal(under_way, under_way.authority, accusation(under_way, encode(signed))) is Reject.EVIDENCE


def test_evidence_about_rounds_that_are_paid() -> None:
    site = open_site()
    run_job(site, rounds_per_block=2, stops_after_round=4)
    site.append_quiet_block()
    assert site.job.settled_round >= 1
    first = next(message for message in site.messages() if isinstance(message, RoundCommit))
    report = site.supervisor._stores.reports.load_report(first.slots[0].report)
    assert refusal(site, site.authority, accusation(site, encode(report))) is Reject.EVIDENCE


# round commits


def commit_of(site: Site) -> tuple[RoundCommit, list[bytes]]:
    """The last committed round's commit, as if it were the next one, with its reports."""
    last = [message for message in site.messages() if isinstance(message, RoundCommit)][-1]
    reports = [encode(site.supervisor._stores.reports.load_report(slot.report)) for slot in last.slots]
    return last, reports


def hand_in(site: Site, commit: RoundCommit, reports: list[bytes], signer: str = "coordinator") -> Reject | str:
    try:
        site.supervisor.commit_round(encode(site.sign(signer, commit)), reports)
    except (InvalidReportError, InvalidTransactionError) as error:
        return error.code
    except SignatureError:
        return Reject.SIGNATURE
    except ConsensusError as error:
        return type(error).__name__
    return "taken"


def test_reports_that_are_not_those_of_the_commit(under_way: Site) -> None:
    commit, reports = commit_of(under_way)
    swapped = replace(commit, slots=tuple(reversed(commit.slots)))
    assert hand_in(under_way, commit, reports[::-1]) is Reject.REPORT_SHAPE
    assert hand_in(under_way, commit, reports[:1]) is Reject.REPORT_SHAPE
    assert hand_in(under_way, commit, [*reports, reports[0]]) is Reject.REPORT_SHAPE
    assert hand_in(under_way, swapped, reports[::-1]) is Reject.REPORT_SHAPE, "of other slots"
    later = replace(commit, round=commit.round + 1)
    assert hand_in(under_way, later, reports) is Reject.REPORT_SHAPE, "of another round"


def test_a_slot_credited_to_another_miner(under_way: Site) -> None:
    commit, reports = commit_of(under_way)
    credited = tuple(SlotCommit(miner=public_key(CHEAT), report=slot.report) for slot in commit.slots)
    assert hand_in(under_way, replace(commit, slots=credited), reports) is Reject.SLOT_OWNER


def test_a_report_whose_signature_was_taken_off(under_way: Site) -> None:
    commit, reports = commit_of(under_way)
    forged = [encode(replace(decode_signed(data), signature=bytes(64))) for data in reports]
    assert hand_in(under_way, commit, forged) is Reject.SIGNATURE


def test_reports_from_another_state_than_the_commit_names(under_way: Site) -> None:
    commit, reports = commit_of(under_way)
    assert hand_in(under_way, replace(commit, state_in=word("elsewhere")), reports) is Reject.WEIGHTS_IN


@pytest.mark.parametrize("signer", [CHEAT, "client", "second coordinator"])
def test_a_round_by_a_coordinator_of_ones_own_choice(under_way: Site, signer: str) -> None:
    commit, reports = commit_of(under_way)
    assert hand_in(under_way, commit, reports, signer) is Reject.NOT_AUTHORISED


def test_a_round_that_was_committed_already(under_way: Site) -> None:
    commit, reports = commit_of(under_way)
    assert hand_in(under_way, replace(commit, loss_bits=1), reports) is Reject.ROUND


def test_nothing_of_all_this_has_changed_the_ledger(under_way: Site) -> None:
    assert len(under_way.supervisor.pool) == 0
    assert under_way.credits() == 2 * FUNDS
    assert under_way.job.escrow == REWARD
    assert not under_way.is_excluded(HONEST)
    assert not under_way.is_excluded(CHEAT)
