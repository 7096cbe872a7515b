import pytest

from storage import schema
from storage.errors import RecordCorruptError, RecordMissingError
from storage.kv import KeyValueStore
from storage.report_store import ReportStore, stage_reports
from tests.kit.genesis import secret_key
from tests.kit.stored_chain import signed
from tests.kit.work import make_assignment, make_report, word

REPORTS = [signed(make_report(make_assignment(word("job"), slot=slot)), secret_key("miner")) for slot in range(3)]


def keep(store: KeyValueStore) -> None:
    with store.atomic_batch() as batch:
        stage_reports(batch, REPORTS)


def test_report_is_found_by_the_digest_a_round_commit_names(store: KeyValueStore) -> None:
    reports = ReportStore(store)
    keep(store)
    assert [reports.load_report(report.digest) for report in REPORTS] == REPORTS


def test_unknown_report_is_said(store: KeyValueStore) -> None:
    reports = ReportStore(store)
    with pytest.raises(RecordMissingError, match=word("unknown").hex()):
        reports.load_report(word("unknown"))
    with pytest.raises(RecordMissingError, match="round commit 3"):
        reports.load_round_commit(word("job"), 3)


def test_damaged_report_is_named(store: KeyValueStore) -> None:
    reports = ReportStore(store)
    keep(store)
    store.put(schema.report_key(REPORTS[0].digest), b"\xa5")
    with pytest.raises(RecordCorruptError, match=REPORTS[0].digest.hex()):
        reports.load_report(REPORTS[0].digest)
