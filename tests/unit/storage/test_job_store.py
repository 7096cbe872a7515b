import pytest

from storage import schema
from storage.errors import RecordCorruptError, RecordMissingError
from storage.job_store import CheckpointRef, JobStore
from storage.kv import KeyValueStore
from tests.kit.work import word


def test_manifests_and_layouts_come_back(store: KeyValueStore) -> None:
    jobs = JobStore(store)
    jobs.put_manifest(word("dataset"), b"manifest")
    jobs.put_layout(word("layout"), b"layout")
    assert jobs.load_manifest(word("dataset")) == b"manifest"
    assert jobs.load_layout(word("layout")) == b"layout"


def test_unknown_manifest_and_layout_are_said(store: KeyValueStore) -> None:
    with pytest.raises(RecordMissingError, match="dataset manifest"):
        JobStore(store).load_manifest(word("unknown"))
    with pytest.raises(RecordMissingError, match="layout"):
        JobStore(store).load_layout(word("unknown"))


def test_jobs_keep_their_order_of_arrival(store: KeyValueStore) -> None:
    jobs = JobStore(store)
    for name in ("b", "a", "b", "c"):
        jobs.note_arrival(word(name))
    assert [jobs.arrival(word(name)) for name in ("b", "a", "c", "unknown")] == [0, 1, 2, None]


def test_checkpoints_are_listed_by_round_of_one_job(store: KeyValueStore) -> None:
    jobs = JobStore(store)
    references = {
        (name, number): CheckpointRef(
            job=word(name), round=number, state=word("state", number), optimizer=word("optimizer", number)
        )
        for name in ("a", "b")
        for number in (300, 2, 10)
    }
    for reference in references.values():
        jobs.put_checkpoint(reference)
    assert jobs.load_checkpoints(word("a")) == [references["a", number] for number in (2, 10, 300)]
    assert jobs.load_checkpoints(word("unknown")) == []
    store.put(schema.checkpoint_key(word("a"), 2), b"\xa5")
    with pytest.raises(RecordCorruptError):
        jobs.load_checkpoints(word("a"))
