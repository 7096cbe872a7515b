"""Proof that a batch's examples are the dataset's: the segments they lie in, each with its path to the root.

Whoever knows only the root (from the chain) and the segments' bytes can rebuild the batch and compare its digest with
the one a miner reported. The header fixes how many entries the tree has; an entry fixes its part and its first row, so
no other segment can stand in for the one that holds an example.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest
from consensus.primitives.merkle import is_included, prove_inclusion
from jobs.data.arrays import LoadBytes, PartArrays
from jobs.data.manifest import PARTS, DatasetHeader, DatasetManifest, PartName, SegmentEntry
from jobs.data.segment import Inputs, Targets, read_segment
from jobs.errors import SegmentError

AuditPath = Annotated[tuple[Digest, ...], Meta(max_length=64)]


class SegmentProof(Record, frozen=True, tag="pouw/segment-proof/1"):
    """That a segment is at its place under a dataset root."""

    entry: SegmentEntry
    path: AuditPath


class BatchProof(Record, frozen=True, tag="pouw/batch-proof/1"):
    """That some segments are at their places, and what their rows mean."""

    header: DatasetHeader
    header_path: AuditPath
    segments: tuple[SegmentProof, ...]


def prove_segment(manifest: DatasetManifest, part: PartName, position: int) -> BatchProof:
    """Prove one segment of a part.

    Raises:
        IndexError: the part has no such segment.
    """
    return _prove(manifest, part, [position])


def prove_batch(manifest: DatasetManifest, part: PartName, indices: npt.NDArray[np.int64]) -> BatchProof:
    """Prove every segment that holds one of these examples.

    Raises:
        IndexError: the part has no such example.
    """
    if indices.size and not (indices.min() >= 0 and indices.max() < manifest.rows(part)):
        raise IndexError(f"the {part} part has no examples beyond {manifest.rows(part) - 1}")
    starts = np.cumsum([segment.rows for segment in manifest.part(part)])
    positions = np.unique(np.searchsorted(starts, indices, side="right"))
    return _prove(manifest, part, [int(position) for position in positions])


def check_proof(root: Digest, proof: BatchProof) -> None:
    """Require that header and segments are under the root, each at its own place.

    Raises:
        SegmentError: the proof does not lead to the root.
    """
    count = 1 + sum(part.segments for part in proof.header.parts)
    if not is_included(root, encode(proof.header), 0, count, proof.header_path):
        raise SegmentError("membership proof: the header is not under the dataset root")
    for segment in proof.segments:
        entry = segment.entry
        sizes = proof.header.parts[PARTS.index(entry.part)]
        index = _leaf(proof.header, entry.part, entry.position)
        if entry.position >= sizes.segments or not is_included(root, encode(entry), index, count, segment.path):
            raise SegmentError(f"membership proof: {entry.part} segment {entry.position} is not under the dataset root")


def check_batch(
    root: Digest, proof: BatchProof, part: PartName, indices: npt.NDArray[np.int64], load: LoadBytes
) -> tuple[Inputs, Targets | None]:
    """Rebuild a batch from the proven segments alone: inputs [n, *feature_shape] and targets [n] or None.

    Raises:
        SegmentError: the proof or a segment's bytes are wrong, or an example lies in no proven segment.
    """
    check_proof(root, proof)
    entries = sorted((each.entry for each in proof.segments if each.entry.part == part), key=_first_row)
    held = [(entry.first_row, entry.first_row + entry.segment.rows) for entry in entries]
    arrays = PartArrays(
        header=proof.header,
        segments=tuple(read_segment(proof.header, entry.segment, load(entry.segment.digest)) for entry in entries),
        starts=np.cumsum([0, *(entry.segment.rows for entry in entries)], dtype=np.int64),
    )
    return arrays.gather(_within(indices, held, arrays.starts))


def _within(
    indices: npt.NDArray[np.int64], held: Sequence[tuple[int, int]], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Example numbers of the part as row numbers among the held rows."""
    rows = np.full(indices.shape, -1, np.int64)
    for (first, end), start in zip(held, starts[:-1], strict=True):
        inside = (indices >= first) & (indices < end)
        rows[inside] = indices[inside] - first + start
    if (rows < 0).any():
        raise SegmentError(f"membership proof: example {int(indices[rows < 0][0])} is in no segment of the proof")
    return rows


def _prove(manifest: DatasetManifest, part: PartName, positions: Sequence[int]) -> BatchProof:
    leaves, entries = manifest.entries(), manifest.part_entries(part)
    proofs = []
    for position in positions:
        if not 0 <= position < len(entries):
            raise IndexError(position)
        path = prove_inclusion(leaves, _leaf(manifest.header, part, position))
        proofs.append(SegmentProof(entry=entries[position], path=path))
    return BatchProof(header=manifest.header, header_path=prove_inclusion(leaves, 0), segments=tuple(proofs))


def _leaf(header: DatasetHeader, part: PartName, position: int) -> int:
    """Which leaf of the dataset's tree a segment is."""
    before = sum(size.segments for size in header.parts[: PARTS.index(part)])
    return 1 + before + position


def _first_row(entry: SegmentEntry) -> int:
    return entry.first_row
