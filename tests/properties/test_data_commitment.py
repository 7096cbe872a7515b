"""Preparing is repeatable, and what is committed to cannot be changed by one bit."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import EncodingError
from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import ZERO_DIGEST, Digest
from jobs.data.arrays import PartArrays
from jobs.data.manifest import PARTS, DatasetHeader, DatasetManifest, PartSize, SegmentRef
from jobs.data.membership import BatchProof, check_batch, check_proof, prove_batch, prove_segment
from jobs.data.normalise import Normalisation
from jobs.data.prepare import PreparedDataset, prepare_dataset
from jobs.errors import SegmentError
from tests.kit.training import DIGITS, MLP, make_spec

fixed_digests = st.binary(min_size=32, max_size=32).map(Digest)
segments = st.builds(
    SegmentRef, digest=fixed_digests, rows=st.integers(1, 10_000), size_bytes=st.integers(1, 64 * 1024 * 1024)
)


@st.composite
def manifests(draw: st.DrawFn) -> DatasetManifest:
    parts = {part: tuple(draw(st.lists(segments, min_size=1, max_size=9))) for part in PARTS}
    train, validation, test = (
        PartSize(rows=sum(each.rows for each in part), segments=len(part)) for part in parts.values()
    )
    header = DatasetHeader(
        kind="table",
        feature_shape=tuple(draw(st.lists(st.integers(1, 99), min_size=1, max_size=4))),
        input_dtype="float32",
        target_kind="value",
        classes=0,
        normalisation="none",
        source_digest=draw(fixed_digests),
        source_note=draw(st.text(max_size=20)),
        parts=(train, validation, test),
        feature_names=tuple(draw(st.lists(st.text(max_size=8), max_size=4))),
    )
    return DatasetManifest(header=header, train=parts["train"], validation=parts["validation"], test=parts["test"])


@pytest.fixture(scope="module")
def digits() -> PreparedDataset:
    return prepare_dataset(make_spec(MLP, DIGITS))


@settings(deadline=None, max_examples=50)
@given(manifest=manifests())
def test_decoding_an_encoded_manifest_gives_it_back(manifest: DatasetManifest) -> None:
    again = decode(encode(manifest), DatasetManifest)
    assert again == manifest
    assert again.root == manifest.root


@settings(deadline=None, max_examples=50)
@given(manifest=manifests(), data=st.data())
def test_a_changed_manifest_has_another_root_or_no_meaning(manifest: DatasetManifest, data: st.DataObject) -> None:
    encoded = bytearray(encode(manifest))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    try:
        changed = decode(bytes(encoded), DatasetManifest)
    except EncodingError:
        return
    assert changed.root != manifest.root


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_any_flipped_bit_of_a_segment_is_caught_on_opening(digits: PreparedDataset, data: st.DataObject) -> None:
    stored = digits.segments.by_digest()
    segment = data.draw(st.sampled_from([*digits.manifest.train, *digits.manifest.validation, *digits.manifest.test]))
    bit = data.draw(st.integers(0, segment.size_bytes * 8 - 1))
    damaged = bytearray(stored[segment.digest])
    damaged[bit // 8] ^= 1 << bit % 8
    stored[segment.digest] = bytes(damaged)
    part = next(name for name in PARTS if segment in digits.manifest.part(name))
    with pytest.raises(SegmentError):
        PartArrays.open(digits.manifest, part, stored.__getitem__)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_reading_damaged_bytes_under_their_own_digest_never_crashes(
    digits: PreparedDataset, data: st.DataObject
) -> None:
    segment = digits.manifest.validation[0]
    damaged = bytearray(digits.segments.by_digest()[segment.digest])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    claimed = SegmentRef(digest=bulk_digest(bytes(damaged)), rows=segment.rows, size_bytes=len(damaged))
    manifest = DatasetManifest(header=digits.manifest.header, train=(claimed,), validation=(), test=())
    try:
        arrays = PartArrays.open(manifest, "train", lambda _digest: bytes(damaged))
    except SegmentError:
        return
    inputs, _ = arrays.gather(np.arange(segment.rows))
    assert inputs.shape == (segment.rows, 1, 8, 8)


@settings(deadline=None, max_examples=40)
@given(manifest=manifests(), data=st.data())
def test_proofs_hold_for_their_own_place_only(manifest: DatasetManifest, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(PARTS))
    position = data.draw(st.integers(0, len(manifest.part(part)) - 1))
    proof = prove_segment(manifest, part, position)
    check_proof(manifest.root, proof)
    encoded = bytearray(encode(proof))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises((SegmentError, EncodingError)):
        check_proof(manifest.root, decode(bytes(encoded), BatchProof))


@settings(deadline=None, max_examples=30)
@given(numbers=st.lists(st.integers(0, 1257), min_size=1, max_size=40))
def test_a_batch_rebuilt_from_its_proof_is_the_batch(digits: PreparedDataset, numbers: list[int]) -> None:
    indices, stored = np.array(numbers, np.int64), digits.segments.by_digest()
    proof = prove_batch(digits.manifest, "train", indices)
    inputs, targets = check_batch(digits.manifest.root, proof, "train", indices, stored.__getitem__)
    expected = PartArrays.open(digits.manifest, "train", stored.__getitem__).gather(indices)
    assert (inputs == expected[0]).all()
    assert (targets == expected[1]).all()


finite = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None, max_examples=25)
@given(rows=st.lists(st.tuples(finite, finite, finite), min_size=8, max_size=60))
def test_preparing_twice_gives_the_same_root(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float, float]]
) -> None:
    path = tmp_path_factory.mktemp("data") / "t.csv"
    columns = dict(zip(("a", "b", "y"), (list(column) for column in zip(*rows, strict=True)), strict=True))
    pacsv.write_csv(pa.table(columns), path)
    first, second = (_prepare(path) for _ in range(2))
    assert first.manifest == second.manifest
    assert first.manifest.root == second.manifest.root != ZERO_DIGEST
    assert first.segments.by_digest() == second.segments.by_digest()
    assert sum(part.rows for part in first.manifest.header.parts) == len(rows)


def _prepare(path: Path) -> PreparedDataset:
    data = {"path": str(path), "target": "y", "normalize": "standard", "split": {"train": 0.75, "test": 0.25}}
    return prepare_dataset(make_spec(MLP, data, loss="mse", batch_size=2))


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.tuples(finite, finite), min_size=1, max_size=60),
    cut=st.integers(0, 60),
    width=st.sampled_from([1, 2]),
)
def test_statistics_do_not_depend_on_how_rows_are_batched(
    values: list[tuple[float, float]], cut: int, width: int
) -> None:
    rows = np.array(values, np.float32)[:, :width]
    pieces = [piece for piece in (rows[:cut], rows[cut:]) if len(piece)]
    whole, batched = Normalisation.measure(width, [rows], [rows]), Normalisation.measure(width, pieces, pieces)
    assert whole.stored() == batched.stored()
