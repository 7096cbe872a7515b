"""What a job has at the site: listed with its deals, and the test part only once nobody trains on it any more."""

import pytest

from cluster.errors import ConflictError, NotFoundError
from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from consensus.records.transactions import JobId
from jobs.data.manifest import PARTS, DatasetHeader, DatasetManifest, PartName, PartSize, SegmentRef
from storage.job_store import CheckpointRef
from tests.kit.replicas import random_bytes
from tests.kit.storage_site import BINDING, SIZE, StorageWorld

SPEC = b"a spec"


def dataset(world: StorageWorld) -> DatasetManifest:
    """One segment a part, all of them here."""

    def segment(seed: int) -> SegmentRef:
        return SegmentRef(digest=world.artifacts.put(random_bytes(100, seed)), rows=1, size_bytes=100)

    train, validation, test = (PartSize(rows=1, segments=1),) * len(PARTS)
    header = DatasetHeader(
        kind="table",
        feature_shape=(1,),
        input_dtype="float32",
        target_kind="value",
        classes=0,
        normalisation="none",
        source_digest=bulk_digest(b"source"),
        source_note="",
        parts=(train, validation, test),
        feature_names=(),
    )
    return DatasetManifest(header=header, train=(segment(1),), validation=(segment(2),), test=(segment(3),))


def begin(world: StorageWorld, data: DatasetManifest, **changes: object) -> JobId:
    """A job that was handed in with its data, and runs."""
    stores = world.site.stores
    stores.jobs.put_manifest(data.root, encode(data))
    world.artifacts.put(encode(data))
    fields: dict[str, object] = {"dataset": data.root, "spec": world.artifacts.put(SPEC), "rounds": 1, "slots": 1}
    return world.site.open_job(**{**fields, **changes})


def end(world: StorageWorld, job: JobId) -> Digest:
    """The job is completed; returns the root of its weights."""
    root = world.artifacts.put(random_bytes(SIZE), binding=BINDING)
    world.site.stores.jobs.put_checkpoint(CheckpointRef(job=job, round=1, state=root, optimizer=bulk_digest(b"lost")))
    world.finish_job(job, root)
    return root


def segment_of(data: DatasetManifest, part: PartName) -> Digest:
    return data.part(part)[0].digest


def test_a_running_job_has_its_spec_and_the_open_parts_of_its_data() -> None:
    world = StorageWorld()
    data = dataset(world)
    job = begin(world, data)
    views = world.of_jobs.list(job)
    assert [(view.kind, view.part, view.root) for view in views] == [
        ("spec", "", bulk_digest(SPEC).hex()),
        ("manifest", "", bulk_digest(encode(data)).hex()),
        ("dataset", "train", segment_of(data, "train").hex()),
        ("dataset", "validation", segment_of(data, "validation").hex()),
    ]


def test_the_test_part_is_withheld_from_whoever_asks_until_training_is_over() -> None:
    world = StorageWorld()
    data = dataset(world)
    job = begin(world, data)
    withheld = segment_of(data, "test")
    assert world.of_jobs.is_withheld(withheld)
    with pytest.raises(ConflictError, match="withheld"):
        world.of_jobs.manifest(withheld)
    assert world.of_jobs.manifest(segment_of(data, "train")).size == 100
    end(world, job)
    assert not world.of_jobs.is_withheld(withheld)
    assert world.of_jobs.manifest(withheld).root == withheld
    assert ("dataset", "test") in {(view.kind, view.part) for view in world.of_jobs.list(job)}
    begin(world, data, name="again")
    assert world.of_jobs.is_withheld(withheld)


def test_a_completed_job_has_weights_and_what_is_missing_is_not_listed() -> None:
    world = StorageWorld()
    job = begin(world, dataset(world))
    root = end(world, job)
    found = {view.kind: view for view in world.of_jobs.list(job)}
    assert (found["weights"].root, found["weights"].bytes) == (root.hex(), SIZE)
    assert found["weights"].binding == BINDING.hex()
    assert found["checkpoint"].part == "1"
    assert "optimizer" not in found


def test_deals_are_named_with_what_they_are_about() -> None:
    world = StorageWorld()
    key = world.keep()
    (view,) = [each for each in world.of_jobs.list(world.deal(key).job or Digest(bytes(32))) if each.kind == "weights"]
    assert view.deals == (key.hex(),)
    world.until(lambda: not world.deal(key).is_open)
    (view,) = [each for each in world.of_jobs.list(world.deal(key).job or Digest(bytes(32))) if each.kind == "weights"]
    assert view.deals == ()


def test_an_unknown_job_or_artifact_is_said() -> None:
    world = StorageWorld()
    with pytest.raises(NotFoundError, match="no job"):
        world.of_jobs.list(bulk_digest(b"nothing"))
    with pytest.raises(NotFoundError, match="no artifact"):
        world.of_jobs.manifest(bulk_digest(b"nothing"))
