"""A batch can be rebuilt from proven segments, and from nothing else."""

import msgspec
import numpy as np
import pytest

from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.digests import batch_digest
from jobs.data.manifest import PARTS, PartName
from jobs.data.membership import BatchProof, check_batch, check_proof, prove_batch, prove_segment
from jobs.data.order import Indices
from jobs.data.prepare import PreparedDataset, prepare_dataset
from jobs.errors import SegmentError
from tests.kit.training import GPT, TEXT, make_spec


@pytest.fixture(scope="module")
def prepared() -> PreparedDataset:
    return prepare_dataset(make_spec(GPT | {"context": 511}, TEXT | {"max_bytes": 12_000_000}))


@pytest.fixture(scope="module")
def segments(prepared: PreparedDataset) -> dict[Digest, bytes]:
    return prepared.segments.by_digest()


@pytest.fixture
def indices(prepared: PreparedDataset) -> Indices:
    edge = prepared.manifest.train[0].rows
    return np.array([edge + 3, 2, edge, edge - 1], np.int64)


def test_a_proven_batch_is_the_batch(
    prepared: PreparedDataset, segments: dict[Digest, bytes], indices: Indices
) -> None:
    proof = decode(encode(prove_batch(prepared.manifest, "train", indices)), BatchProof)
    assert [each.entry.position for each in proof.segments] == [0, 1]
    rebuilt = check_batch(prepared.manifest.root, proof, "train", indices, segments.__getitem__)
    arrays = PartArrays.open(prepared.manifest, "train", segments.__getitem__)
    assert batch_digest(*rebuilt) == batch_digest(*arrays.gather(indices))


def test_segments_of_the_other_parts_are_not_needed(prepared: PreparedDataset, segments: dict[Digest, bytes]) -> None:
    last = prepared.manifest.train[-1]
    indices = np.array([prepared.manifest.rows("train") - 1])
    proof = prove_batch(prepared.manifest, "train", indices)
    check_batch(prepared.manifest.root, proof, "train", indices, {last.digest: segments[last.digest]}.__getitem__)


@pytest.mark.parametrize("part", PARTS)
def test_every_segment_can_be_proven(prepared: PreparedDataset, part: PartName) -> None:
    for position in range(len(prepared.manifest.part(part))):
        check_proof(prepared.manifest.root, prove_segment(prepared.manifest, part, position))


def test_refuses_another_root(prepared: PreparedDataset, indices: Indices) -> None:
    proof = prove_batch(prepared.manifest, "train", indices)
    with pytest.raises(SegmentError, match="the header is not under the dataset root"):
        check_proof(Digest(bytes(32)), proof)


def test_refuses_a_header_that_says_something_else(prepared: PreparedDataset, indices: Indices) -> None:
    proof = prove_batch(prepared.manifest, "train", indices)
    header = msgspec.structs.replace(proof.header, classes=255)
    with pytest.raises(SegmentError, match="the header is not under"):
        check_proof(prepared.manifest.root, msgspec.structs.replace(proof, header=header))


@pytest.mark.parametrize(
    "changes",
    [{"first_row": 1}, {"position": 1}, {"position": 2**32 - 1}, {"part": "test"}, {"part": "validation"}],
)
def test_refuses_a_segment_at_another_place(
    prepared: PreparedDataset, indices: Indices, changes: dict[str, object]
) -> None:
    proof = prove_batch(prepared.manifest, "train", indices)
    first, second = proof.segments
    moved = msgspec.structs.replace(first, entry=msgspec.structs.replace(first.entry, **changes))
    with pytest.raises(SegmentError, match="is not under the dataset root"):
        check_proof(prepared.manifest.root, msgspec.structs.replace(proof, segments=(moved, second)))


def test_refuses_a_proof_without_the_segment_of_an_example(
    prepared: PreparedDataset, segments: dict[Digest, bytes], indices: Indices
) -> None:
    proof = prove_batch(prepared.manifest, "train", indices)
    short = msgspec.structs.replace(proof, segments=proof.segments[1:])
    with pytest.raises(SegmentError, match="example 2 is in no segment of the proof"):
        check_batch(prepared.manifest.root, short, "train", indices, segments.__getitem__)


def test_refuses_examples_of_another_part(
    prepared: PreparedDataset, segments: dict[Digest, bytes], indices: Indices
) -> None:
    proof = prove_batch(prepared.manifest, "train", indices)
    with pytest.raises(SegmentError, match="is in no segment of the proof"):
        check_batch(prepared.manifest.root, proof, "validation", indices, segments.__getitem__)


def test_refuses_other_bytes_for_a_proven_segment(
    prepared: PreparedDataset, segments: dict[Digest, bytes], indices: Indices
) -> None:
    proof = prove_batch(prepared.manifest, "train", indices)
    other = segments[prepared.manifest.test[0].digest]
    with pytest.raises(SegmentError, match="its bytes are not those of the dataset"):
        check_batch(prepared.manifest.root, proof, "train", indices, lambda _digest: other)


def test_there_is_no_proof_of_what_is_not_there(prepared: PreparedDataset) -> None:
    with pytest.raises(IndexError):
        prove_batch(prepared.manifest, "train", np.array([prepared.manifest.rows("train")]))
    with pytest.raises(IndexError):
        prove_segment(prepared.manifest, "test", len(prepared.manifest.test))
