"""What a supervisor acknowledges: transactions and rounds, valid ones, repeated ones and wrong ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from consensus.errors import EncodingError, InvalidReportError, InvalidTransactionError, Reject
from consensus.primitives.encoding import encode
from consensus.records.transactions import JobId
from storage.errors import RecordMissingError, StorageFullError
from storage.kv import Batch
from storage.memory_kv import MemoryStore
from tests.kit.genesis import FUNDS, public_key, secret_key, supervisor_keys
from tests.kit.node import NodeSite
from tests.kit.work import make_commit, word


@pytest.fixture
def site() -> NodeSite:
    return NodeSite()


@pytest.fixture
def job(site: NodeSite) -> JobId:
    return site.open_job()


def refusal(site: NodeSite, data: bytes) -> Reject:
    with pytest.raises(InvalidTransactionError) as caught:
        site.node.submit(data)
    return caught.value.code


def test_an_acknowledged_transaction_is_durable_and_counts(site: NodeSite) -> None:
    digest = site.transfer()
    assert site.stores.mempool.has(digest)
    assert digest in site.node.pool
    assert site.node.pool.state.account(public_key("friend")).balance == 5
    assert site.balance("friend") == 0


def test_the_same_transaction_again_is_no_error_and_counts_once(site: NodeSite) -> None:
    data = encode(site.sign("client", site.transfer_message()))
    first = site.node.submit(data)
    assert site.node.submit(data) == first
    assert len(site.node.pool) == 1
    site.block()
    assert site.node.submit(data) == first
    assert len(site.node.pool) == 0
    assert site.balance("friend") == 5


def test_refuses_what_is_no_transaction(site: NodeSite) -> None:
    for data in (b"", b"\x00", encode(site.transfer_message())):
        with pytest.raises(EncodingError):
            site.node.submit(data)
    assert refusal(site, encode(site.sign("client", site.genesis))) is Reject.ENCODING


def test_refuses_what_is_too_large(site: NodeSite) -> None:
    with pytest.raises(EncodingError, match="over the limit"):
        site.submit_job(name="x" * site.genesis.params.max_transaction_bytes)


def test_refuses_a_forged_signature(site: NodeSite) -> None:
    forged = replace(site.sign("client", site.transfer_message()), signature=bytes(64))
    assert refusal(site, encode(forged)) is Reject.SIGNATURE


def test_refuses_a_sequence_that_is_not_next(site: NodeSite) -> None:
    message = replace(site.transfer_message(), sequence=1)
    assert refusal(site, encode(site.sign("client", message))) is Reject.SEQUENCE


def test_judges_after_all_that_waits(site: NodeSite) -> None:
    site.transfer(FUNDS)
    assert refusal(site, encode(site.sign("client", site.transfer_message(1)))) is Reject.FUNDS


def test_refused_transactions_leave_nothing_behind(site: NodeSite) -> None:
    refusal(site, encode(site.sign("client", site.transfer_message(FUNDS + 1))))
    assert site.stores.mempool.count() == 0
    assert site.node.pool.state == site.state


def test_remembers_the_order_in_which_jobs_came(site: NodeSite) -> None:
    jobs = [site.submit_job(name=name) for name in "abc"]
    assert [site.node.arrival(job) for job in jobs] == [0, 1, 2]
    assert site.node.job(jobs[1]) is not None


# rounds


def test_a_round_is_taken_with_its_reports(site: NodeSite, job: JobId) -> None:
    progress = site.commit(job)
    assert (progress.next_round, progress.settled_round, progress.is_closing) == (1, 0, False)
    for report in site.reports(job, 0):
        assert site.stores.reports.load_report(report.digest) == report


def test_the_same_round_again_is_no_error(site: NodeSite, job: JobId) -> None:
    reports = site.reports(job, 0)
    commit = make_commit(job, 0, reports)
    first = site.hand_in(reports, commit)
    assert site.hand_in(reports, commit) == first
    site.block()
    assert site.hand_in(reports, commit) == first


def test_refuses_reports_that_are_not_those_of_the_round(site: NodeSite, job: JobId) -> None:
    reports = site.reports(job, 0)
    with pytest.raises(InvalidReportError) as caught:
        site.hand_in(site.reports(job, 0, salt="other"), make_commit(job, 0, reports))
    assert caught.value.code is Reject.REPORT_SHAPE


def test_reports_of_a_refused_round_are_not_kept(site: NodeSite, job: JobId) -> None:
    reports = site.reports(job, 1)
    with pytest.raises(InvalidTransactionError) as caught:
        site.hand_in(reports, make_commit(job, 1, reports))
    assert caught.value.code is Reject.ROUND
    with pytest.raises(RecordMissingError):
        site.stores.reports.load_report(reports[0].digest)


def test_refuses_a_round_that_another_signed(site: NodeSite, job: JobId) -> None:
    reports = site.reports(job, 0)
    data = encode(site.sign("miner", make_commit(job, 0, reports)))
    with pytest.raises(InvalidTransactionError) as caught:
        site.node.commit_round(data, [encode(report) for report in reports])
    assert caught.value.code is Reject.NOT_AUTHORISED


def test_refuses_a_round_that_is_no_round(site: NodeSite, job: JobId) -> None:
    with pytest.raises(EncodingError):
        site.node.commit_round(encode(site.sign("coordinator", site.transfer_message())), [])


def test_an_unknown_job_has_no_progress(site: NodeSite) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        site.node.progress(word("job"))
    assert caught.value.code is Reject.JOB_UNKNOWN
    assert site.node.job(word("job")) is None


def test_starting_a_job_again_with_its_coordinator_changes_nothing(site: NodeSite, job: JobId) -> None:
    site.node.start_job(job, public_key("coordinator"))
    assert len(site.node.pool) == 0
    assert site.node.is_started(job, public_key("coordinator"))
    assert not site.node.is_started(job, public_key("miner"))


def test_a_running_job_may_be_given_another_coordinator(site: NodeSite, job: JobId) -> None:
    site.node.start_job(job, public_key("second"))
    assert not site.node.is_started(job, public_key("second"))
    site.block()
    assert site.node.is_started(job, public_key("second"))


# a disk that is full


class FullDisk(MemoryStore):
    """Takes `writes_left` more batches."""

    writes_left = 1_000_000

    @contextmanager
    def atomic_batch(self) -> Iterator[Batch]:
        with super().atomic_batch() as batch:
            yield batch
            if self.writes_left == 0:
                raise StorageFullError("chain", "no space left")
            self.writes_left -= 1


def snapshot(site: NodeSite) -> tuple[object, ...]:
    node = site.node
    memory = (repr(node.memory), node.tallies, node.pool.state, node.pool.all_messages(), node.chain.view.tip_hash)
    return (*memory, node.closable(), site.stores.mempool.load_waiting())


@pytest.mark.parametrize("writes", [0, 1])
def test_with_a_full_disk_a_submission_changes_nothing(writes: int) -> None:
    disk = FullDisk()
    site = NodeSite(disk)
    before = snapshot(site)
    disk.writes_left = writes
    with pytest.raises(StorageFullError):
        site.submit_job()
    assert snapshot(site) == before
    disk.writes_left = 10
    job = site.submit_job()
    assert site.node.arrival(job) == 0
    assert len(site.node.pool) == 1


def test_with_a_full_disk_a_round_changes_nothing() -> None:
    disk = FullDisk()
    site = NodeSite(disk)
    job = site.open_job()
    before = snapshot(site)
    disk.writes_left = 0
    with pytest.raises(StorageFullError):
        site.commit(job)
    assert snapshot(site) == before
    disk.writes_left = 10
    assert site.commit(job).next_round == 1


def test_with_a_full_disk_evidence_excludes_nobody() -> None:
    disk = FullDisk()
    site = NodeSite(disk)
    job = site.open_job()
    site.commit(job)
    site.block()
    slot, _ = site.node.next_audit() or (None, None)
    assert slot is not None
    before = snapshot(site)
    disk.writes_left = 0
    from consensus.replay.verdict import Outcome

    with pytest.raises(StorageFullError):
        site.node.record_audit(slot, site.verdict(slot, Outcome.MISMATCH))
    assert snapshot(site) == before


def test_with_a_full_disk_no_block_is_appended() -> None:
    disk = FullDisk()
    site = NodeSite(disk)
    site.transfer()
    before = snapshot(site)
    disk.writes_left = 0
    with pytest.raises(StorageFullError):
        site.block()
    assert snapshot(site) == before
    disk.writes_left = 10
    assert site.block()


def test_a_settlement_that_found_no_room_is_made_up_for() -> None:
    disk = FullDisk()
    site = NodeSite(disk)
    job = site.open_job(audit_ppm=site.genesis.params.min_audit_ppm)
    site.commit(job)
    disk.writes_left = 1
    with pytest.raises(StorageFullError):
        site.block()
    assert site.node.chain.height == 2
    disk.writes_left = 10
    site.audit()
    site.block()
    assert site.state.jobs[job].settled_round == 1


def test_only_supervisors_open_jobs(site: NodeSite) -> None:
    from consensus.records.transactions import StartJob

    job = site.submit_job()
    message = StartJob(job=job, coordinator=public_key("miner"))
    assert refusal(site, encode(site.sign(secret_key("miner"), message))) is Reject.NOT_AUTHORISED
    site.send(supervisor_keys(1)[0], message)
