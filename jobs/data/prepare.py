"""From a job's data section to a committed dataset: check, split, normalise, cut into segments.

Nothing large is held: each step goes over the rows again. The segments are cut once to learn their digests and once
more when they are handed out; if the source changed in between, that is noticed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.primitives.integers import Digest
from jobs.data.cutting import Cut, Dealing, cut_segments
from jobs.data.manifest import (
    BYTE_TOKENS,
    PARTS,
    DatasetHeader,
    DatasetManifest,
    PartName,
    PartSize,
    SegmentRef,
    check_manifest,
)
from jobs.data.normalise import Normalisation
from jobs.data.rows import KeptRows, Progress, RowSource
from jobs.data.sources import open_source
from jobs.data.split import Rows, split_sizes, table_places, text_places
from jobs.data.survey import Survey, TargetKind, survey_rows, target_kind
from jobs.errors import DataError
from jobs.spec.data import PythonTextData
from jobs.spec.job import JobSpec


def _no_progress(_what: str, _rows: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDataset:
    """A dataset that can be committed to, and its segments, which are cut anew each time they are gone through."""

    manifest: DatasetManifest
    segments: "SegmentStream"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStream:
    """The segments of a dataset with their bytes; may be gone through more than once."""

    dealing: Dealing
    kind: TargetKind
    normalisation: Normalisation | None
    manifest: DatasetManifest
    progress: Progress

    def __iter__(self) -> Iterator[tuple[SegmentRef, bytes]]:
        """Go through all segments.

        Raises:
            DataError: the source is not what it was when the manifest was made.
        """
        waiting = {part: iter(self.manifest.part(part)) for part in PARTS}
        given = 0
        for part, segment, data in cut_segments(self.dealing, self.kind, self.normalisation):
            if next(waiting[part], None) != segment:
                raise DataError("the data changed while it was being read; submit again when nobody writes to it")
            given += segment.rows
            self.progress("storing", given)
            yield segment, data

    def by_digest(self) -> dict[Digest, bytes]:
        """All segments in memory, for data that is known to be small."""
        return {segment.digest: data for segment, data in self}


def prepare_dataset(spec: JobSpec, progress: Progress = _no_progress) -> PreparedDataset:
    """Read, check and commit to the data of a job.

    Raises:
        DataError: the data cannot be read or does not fit the job; the message says where and what to do.
    """
    source = open_source(spec)
    rows, kind = KeptRows(source), target_kind(spec)
    survey = survey_rows(rows, spec, progress)
    sizes = split_sizes(survey.rows, spec.data.split)
    _check_batch(spec, sizes[0])
    dealing = Dealing(rows=rows, places=_Shuffle.of(spec, survey.rows).places, sizes=sizes)
    normalisation = _measure(spec, source, dealing, progress)
    found: dict[PartName, list[SegmentRef]] = {part: [] for part in PARTS}
    for cut in cut_segments(dealing, kind, normalisation):
        _file(found, cut)
        progress("cutting", sum(segment.rows for segments in found.values() for segment in segments))
    manifest = DatasetManifest(
        header=_header(source, kind, survey, normalisation, found),
        train=tuple(found["train"]),
        validation=tuple(found["validation"]),
        test=tuple(found["test"]),
    )
    check_manifest(manifest)
    stream = SegmentStream(
        dealing=dealing, kind=kind, normalisation=normalisation, manifest=manifest, progress=progress
    )
    return PreparedDataset(manifest=manifest, segments=stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shuffle:
    """Places of rows: computed where they can be, looked up for text."""

    rows: int
    looked_up: Rows | None

    @classmethod
    def of(cls, spec: JobSpec, rows: int) -> "_Shuffle":
        is_text = isinstance(spec.data, PythonTextData)
        return cls(rows=rows, looked_up=text_places(rows) if is_text else None)

    def places(self, first_row: int, count: int) -> Rows:
        if self.looked_up is not None:
            return self.looked_up[first_row : first_row + count]
        return table_places(first_row, count, self.rows)


def _check_batch(spec: JobSpec, train_rows: int) -> None:
    if spec.train.batch_size > train_rows:
        raise DataError(
            f"train.batch_size is {spec.train.batch_size}, but the training part has only {train_rows} rows; "
            "use a smaller batch or more data"
        )


def _measure(spec: JobSpec, source: RowSource, dealing: Dealing, progress: Progress) -> Normalisation | None:
    if isinstance(spec.data, PythonTextData) or spec.data.normalize == "none":
        return None
    progress("normalising", 0)
    width = 1
    for size in source.feature_shape:
        width *= size
    return Normalisation.measure(width, dealing.train_inputs(), dealing.train_inputs())


def _file(found: dict[PartName, list[SegmentRef]], cut: Cut) -> None:
    part, segment, _data = cut
    found[part].append(segment)


def _header(
    source: RowSource,
    kind: TargetKind,
    survey: Survey,
    normalisation: Normalisation | None,
    found: dict[PartName, list[SegmentRef]],
) -> DatasetHeader:
    train, validation, test = (
        PartSize(rows=sum(segment.rows for segment in found[part]), segments=len(found[part])) for part in PARTS
    )
    mean, deviation = (b"", b"") if normalisation is None else normalisation.stored()
    return DatasetHeader(
        kind="tokens" if kind == "none" else "table",
        feature_shape=source.feature_shape,
        input_dtype="uint8" if kind == "none" else "float32",
        target_kind=kind,
        classes=BYTE_TOKENS if kind == "none" else survey.classes,
        normalisation="none" if normalisation is None else "standard",
        source_digest=source.digest(),
        source_note=source.note,
        parts=(train, validation, test),
        mean=mean,
        deviation=deviation,
        feature_names=source.feature_names,
    )
