"""What a dataset is, reduced to one root: a header that says what the numbers mean, then every segment in order.

The root is on the chain, the test part included, so nobody can change an example after a job was submitted. An entry
names its part, its place and its first row; a proof of one entry therefore also proves which example numbers it holds.
"""

import math
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, Uint32, Uint63
from consensus.primitives.merkle import merkle_root
from jobs.errors import DataError

PartName: TypeAlias = Literal["train", "validation", "test"]
PARTS: Final[tuple[PartName, ...]] = ("train", "validation", "test")
MAX_SEGMENT_BYTES: Final = 64 * 1024 * 1024
MAX_ROW_BYTES: Final = 32 * 1024 * 1024
MAX_CLASSES: Final = 1_000_000
BYTE_TOKENS: Final = 256

Dimension = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class SegmentRef(Record, frozen=True, tag="pouw/segment/1"):
    """Some consecutive rows of a part, by the bulk digest of their bytes."""

    digest: Digest
    rows: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    size_bytes: Annotated[int, Meta(ge=1, le=MAX_SEGMENT_BYTES)]


class SegmentEntry(Record, frozen=True, tag="pouw/segment-entry/1"):
    """A segment at its place: what a leaf of the dataset's tree commits to."""

    part: PartName
    position: Uint32
    first_row: Uint63
    segment: SegmentRef


class PartSize(Record, frozen=True, tag="pouw/part-size/1"):
    rows: Uint63
    segments: Uint32


class DatasetHeader(Record, frozen=True, tag="pouw/dataset-header/1"):
    """What the rows mean. Inputs are arrays of `feature_shape`; a row of tokens is one longer than the context."""

    kind: Literal["table", "tokens"]
    feature_shape: Annotated[tuple[Dimension, ...], Meta(min_length=1, max_length=4)]
    input_dtype: Literal["float32", "uint8"]
    target_kind: Literal["class", "value", "none"]
    classes: Annotated[int, Meta(ge=0, le=MAX_CLASSES)]
    """Classes of a `class` target, 256 for tokens, 0 for a `value`."""
    normalisation: Literal["none", "standard"]
    source_digest: Digest
    """SHA-256 of what was read; for people who want to look it up."""
    source_note: str
    parts: tuple[PartSize, PartSize, PartSize]
    """Sizes of train, validation and test."""
    mean: bytes = b""
    """With `standard`: what was taken off each input, little-endian float32."""
    deviation: bytes = b""
    """With `standard`: what each input was divided by after that, little-endian float32."""
    feature_names: tuple[str, ...] = ()
    """Columns the inputs were read from, when they had names."""

    @property
    def inputs_per_row(self) -> int:
        return math.prod(self.feature_shape)


class DatasetManifest(Record, frozen=True, tag="pouw/dataset/1"):
    """A dataset without its bytes. Stored as an artifact; `root` is on the chain."""

    header: DatasetHeader
    train: tuple[SegmentRef, ...]
    validation: tuple[SegmentRef, ...]
    test: tuple[SegmentRef, ...]

    @property
    def kind(self) -> Literal["table", "tokens"]:
        return self.header.kind

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return self.header.feature_shape

    @property
    def classes(self) -> int:
        return self.header.classes

    @property
    def target_kind(self) -> Literal["class", "value", "none"]:
        return self.header.target_kind

    @property
    def root(self) -> Digest:
        """The Merkle root over the header and every segment. Takes time in the number of segments: keep it."""
        return merkle_root(self.entries())

    def part(self, name: PartName) -> tuple[SegmentRef, ...]:
        """The segments of a part."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def rows(self, name: PartName) -> int:
        """How many examples a part has."""
        return self.header.parts[PARTS.index(name)].rows

    def entries(self) -> list[bytes]:
        """The leaves of the tree: the header, then train, validation and test."""
        leaves = [encode(self.header)]
        leaves.extend(encode(entry) for name in PARTS for entry in self.part_entries(name))
        return leaves

    def part_entries(self, name: PartName) -> list[SegmentEntry]:
        """The entries of one part, in order."""
        entries, first_row = [], 0
        for position, segment in enumerate(self.part(name)):
            entries.append(SegmentEntry(part=name, position=position, first_row=first_row, segment=segment))
            first_row += segment.rows
        return entries


def check_manifest(manifest: DatasetManifest) -> None:
    """Require that a manifest agrees with itself; for one that somebody else made.

    Raises:
        DataError: sizes, shapes and kinds contradict each other.
    """
    for name, size in zip(PARTS, manifest.header.parts, strict=True):
        segments = manifest.part(name)
        if len(segments) != size.segments or sum(segment.rows for segment in segments) != size.rows:
            raise DataError(f"dataset manifest: the {name} part does not have the size that its header says")
    if manifest.rows("train") == 0:
        raise DataError("dataset manifest: there is nothing to train on")
    _check_header(manifest.header)


def _check_header(header: DatasetHeader) -> None:
    tokens = header.kind == "tokens"
    expected = ("uint8", "none") if tokens else ("float32", header.target_kind)
    if (header.input_dtype, header.target_kind) != expected or (not tokens and header.target_kind == "none"):
        raise DataError(f"dataset manifest: {header.kind} cannot have {header.input_dtype}, {header.target_kind}")
    if tokens and (header.classes != BYTE_TOKENS or len(header.feature_shape) != 1):
        raise DataError("dataset manifest: token rows are flat and have 256 classes")
    if (header.target_kind == "value") != (header.classes == 0):
        raise DataError(f"dataset manifest: {header.classes} classes do not fit a {header.target_kind} target")
    if header.inputs_per_row * 4 > MAX_ROW_BYTES:
        raise DataError(f"dataset manifest: rows of {header.inputs_per_row} inputs are too long")
    statistics = header.inputs_per_row * 4 if header.normalisation == "standard" else 0
    if len(header.mean) != statistics or len(header.deviation) != statistics:
        raise DataError("dataset manifest: the normalisation does not have the size of the inputs")
