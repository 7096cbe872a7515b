"""What is committed to, and that nothing else is accepted when a part is opened."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.digests import batch_bytes, batch_digest, indices_digest
from jobs.data.manifest import DatasetManifest, SegmentRef, check_manifest
from jobs.data.prepare import PreparedDataset, prepare_dataset
from jobs.data.segment import TARGET_BYTES, read_segment
from jobs.errors import DataError, SegmentError
from tests.kit.training import DIGITS, GPT, MLP, TEXT, make_spec

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def digits() -> PreparedDataset:
    return prepare_dataset(make_spec(MLP, DIGITS))


@pytest.fixture(scope="module")
def text() -> PreparedDataset:
    return prepare_dataset(make_spec(GPT, TEXT | {"max_bytes": 9_000_000}))


def test_digits_are_images_between_0_and_1(digits: PreparedDataset) -> None:
    header = digits.manifest.header
    assert (header.feature_shape, header.classes, header.target_kind) == ((1, 8, 8), 10, "class")
    assert [part.rows for part in header.parts] == [1258, 180, 359]
    arrays = PartArrays.open(digits.manifest, "train", digits.segments.by_digest().__getitem__)
    inputs, targets = arrays.gather(np.array([5, 1257, 5]))
    assert (inputs.shape, inputs.dtype) == ((3, 1, 8, 8), np.float32)
    assert inputs.min() == 0.0
    assert inputs.max() == 1.0
    assert (inputs[0] == inputs[2]).all()
    assert targets is not None
    assert targets.dtype == np.int64


def test_text_rows_are_one_longer_than_the_context(text: PreparedDataset) -> None:
    header = text.manifest.header
    assert (header.feature_shape, header.classes, header.input_dtype) == ((17,), 256, "uint8")
    arrays = PartArrays.open(text.manifest, "test", text.segments.by_digest().__getitem__)
    inputs, targets = arrays.gather(np.arange(4))
    assert (inputs.shape, inputs.dtype, targets) == ((4, 17), np.uint8, None)
    assert inputs.max() < 128


def test_segments_have_about_the_target_size(text: PreparedDataset) -> None:
    *full, last = text.manifest.train
    assert full
    assert all(TARGET_BYTES * 0.99 < segment.size_bytes < TARGET_BYTES * 1.01 for segment in full)
    assert last.size_bytes < TARGET_BYTES * 1.01


def test_gathering_crosses_segments(text: PreparedDataset) -> None:
    arrays = PartArrays.open(text.manifest, "train", text.segments.by_digest().__getitem__)
    edge = text.manifest.train[0].rows
    chosen = np.array([edge, 0, edge - 1, arrays.rows - 1])
    inputs, _ = arrays.gather(chosen)
    for row, number in enumerate(chosen):
        assert (inputs[row] == arrays.gather(np.array([number]))[0][0]).all()
    assert (inputs[0] == arrays.segments[1].inputs[0]).all()
    assert (inputs[2] == arrays.segments[0].inputs[-1]).all()


@pytest.mark.parametrize("index", [-1, 1258])
def test_gathering_refuses_examples_that_are_not_there(digits: PreparedDataset, index: int) -> None:
    arrays = PartArrays.open(digits.manifest, "train", digits.segments.by_digest().__getitem__)
    with pytest.raises(IndexError, match="from 0 to 1257"):
        arrays.gather(np.array([0, index]))


def test_an_empty_part_opens_and_gathers_nothing() -> None:
    prepared = prepare_dataset(make_spec(MLP, {"source": "digits", "split": {"train": 1.0}}))
    arrays = PartArrays.open(prepared.manifest, "test", prepared.segments.by_digest().__getitem__)
    assert arrays.rows == 0
    assert arrays.gather(np.empty(0, np.int64))[0].shape == (0, 1, 8, 8)


def test_arrays_are_views_of_the_segment_bytes(digits: PreparedDataset) -> None:
    ((segment, data),) = [each for each in digits.segments if each[0] == digits.manifest.test[0]]
    arrays = read_segment(digits.manifest.header, segment, memoryview(data))
    whole = np.frombuffer(data, np.uint8)
    assert np.shares_memory(arrays.inputs, whole)
    assert not arrays.inputs.flags.writeable


def test_reading_a_segment_does_not_load_pandas(digits: PreparedDataset, tmp_path: Path) -> None:
    Path(tmp_path, "manifest").write_bytes(encode(digits.manifest))
    Path(tmp_path, "segment").write_bytes(digits.segments.by_digest()[digits.manifest.test[0].digest])
    script = (
        "import sys\nfrom pathlib import Path\nfrom consensus.primitives.encoding import decode\n"
        "from jobs.data.manifest import DatasetManifest\nfrom jobs.data.segment import read_segment\n"
        "manifest = decode(Path(sys.argv[1], 'manifest').read_bytes(), DatasetManifest)\n"
        "read_segment(manifest.header, manifest.test[0], Path(sys.argv[1], 'segment').read_bytes())\n"
        "print('pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    read = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert read.stdout.strip() == "False"


def test_an_opened_part_refuses_another_segment(digits: PreparedDataset) -> None:
    other = digits.segments.by_digest()[digits.manifest.test[0].digest]
    with pytest.raises(SegmentError, match="its bytes are not those of the dataset"):
        PartArrays.open(digits.manifest, "train", lambda _digest: other)


def _stream(*columns: pa.Array, batches: int = 1, names: tuple[str, ...] = ("input", "target")) -> bytes:
    batch, sink = pa.record_batch(list(columns), names=list(names[: len(columns)])), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _images(rows: int, kind: pa.DataType, width: int = 64) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array([0.5] * rows * width, kind), width)


LABELS = pa.array([1, 2], pa.int64())
IMAGES = _images(2, pa.float32())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_stream(_images(2, pa.float64()), LABELS), "columns or rows"),
        (_stream(_images(2, pa.float32(), 63), LABELS), "columns or rows"),
        (_stream(IMAGES, pa.array([1, 2], pa.int32())), "columns or rows"),
        (_stream(IMAGES), "columns or rows"),
        (_stream(IMAGES, LABELS, names=("input", "label")), "columns or rows"),
        (_stream(_images(3, pa.float32()), pa.array([0, 0, 0])), "columns or rows"),
        (_stream(IMAGES, LABELS, batches=2), "2 record batches"),
        (_stream(IMAGES, LABELS, batches=0), "0 record batches"),
        (_stream(IMAGES, pa.array([1, None], pa.int64())), "missing values"),
        (_stream(IMAGES, pa.array([1, 10], pa.int64())), "labels outside 0 to 9"),
        (_stream(IMAGES, pa.array([-1, 1], pa.int64())), "labels outside 0 to 9"),
        (_stream(IMAGES, LABELS)[:-40], "malformed"),
        (b"no stream", "not an Arrow stream"),
        (b"", "not an Arrow stream"),
    ],
)
def test_a_committed_segment_must_still_be_well_formed(digits: PreparedDataset, data: bytes, expected: str) -> None:
    segment = SegmentRef(digest=bulk_digest(data), rows=2, size_bytes=len(data))
    with pytest.raises(SegmentError, match=expected):
        read_segment(digits.manifest.header, segment, data)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"feature_shape": (17, 1)}, "token rows are flat"),
        ({"classes": 255}, "token rows are flat and have 256"),
        ({"input_dtype": "float32"}, "tokens cannot have float32"),
        ({"target_kind": "class"}, "tokens cannot have uint8, class"),
        ({"kind": "table"}, "table cannot have"),
        ({"feature_shape": (2**31 - 1,)}, "too long"),
        ({"mean": b"\0" * 4}, "normalisation"),
        ({"normalisation": "standard"}, "normalisation"),
    ],
)
def test_a_manifest_must_agree_with_itself(text: PreparedDataset, changes: dict[str, object], expected: str) -> None:
    check_manifest(text.manifest)
    header = msgspec.structs.replace(text.manifest.header, **changes)
    with pytest.raises(DataError, match=expected):
        check_manifest(msgspec.structs.replace(text.manifest, header=header))


def test_a_manifest_must_have_the_parts_its_header_says(digits: PreparedDataset) -> None:
    check_manifest(digits.manifest)
    for part in ("train", "validation", "test"):
        with pytest.raises(DataError, match=f"the {part} part does not have the size"):
            check_manifest(msgspec.structs.replace(digits.manifest, **{part: ()}))


def test_value_targets_have_no_classes(digits: PreparedDataset) -> None:
    header = msgspec.structs.replace(digits.manifest.header, target_kind="value")
    with pytest.raises(DataError, match="10 classes do not fit a value target"):
        check_manifest(msgspec.structs.replace(digits.manifest, header=header))


def test_digests_tell_batches_apart(digits: PreparedDataset) -> None:
    arrays = PartArrays.open(digits.manifest, "train", digits.segments.by_digest().__getitem__)
    indices = np.arange(8)
    inputs, targets = arrays.gather(indices)
    assert batch_bytes(inputs, targets) == 8 * (64 * 4 + 8)
    assert batch_digest(inputs, targets) == bulk_digest(
        inputs.tobytes() + (b"" if targets is None else targets.tobytes())
    )
    assert batch_digest(inputs, targets) != batch_digest(inputs[::-1], targets)
    assert indices_digest(indices) != indices_digest(indices[::-1])
    assert indices_digest(indices) != indices_digest(indices[:7])


def _roots(manifest: DatasetManifest) -> set[Digest]:
    (only,) = manifest.validation
    other = msgspec.structs.replace(only, digest=Digest(bytes(32)))
    header = msgspec.structs.replace(manifest.header, source_note="another")
    return {
        manifest.root,
        msgspec.structs.replace(manifest, validation=(other,)).root,
        msgspec.structs.replace(manifest, validation=(), test=(*manifest.validation, *manifest.test)).root,
        msgspec.structs.replace(manifest, header=header).root,
    }


def test_the_root_commits_to_segments_parts_and_header(digits: PreparedDataset) -> None:
    assert len(_roots(digits.manifest)) == 4
