"""Where a job's examples come from and how they are split. Reading them is jobs/data's part."""

from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from jobs.spec.base import Section, Share, Size, Text, contradiction

Format: TypeAlias = Literal["parquet", "csv", "arrow", "npz"]
Normalize: TypeAlias = Literal["none", "standard"]
Kind: TypeAlias = Literal["classification", "regression"]

SOURCES: Final = ("digits", "python-text")
FORMATS: Final[dict[str, Format]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".npz": "npz",
}
"""Which format a file name's end stands for."""
SPLIT_TOLERANCE: Final = 1e-9


class SplitSpec(Section):
    """Shares of the rows; together 1. Validation steers `stop_when`; the test part is only read at the end."""

    train: Share
    validation: Share = 0.0
    test: Share = 0.0

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1.0) > SPLIT_TOLERANCE:
            raise contradiction("", f"train + validation + test must be 1, not {total:.9g}")
        if self.train <= 0.0:
            raise contradiction("train", "must be greater than 0: there would be nothing to learn from")
        return self


_DEFAULT_SPLIT: Final = SplitSpec(train=0.8, validation=0.1, test=0.1)


class DigitsData(Section):
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

    source: Literal["digits"]
    split: SplitSpec = _DEFAULT_SPLIT
    normalize: Normalize = "none"


class PythonTextData(Section):
    """The source text of the running Python's standard library, as bytes: a text that is on every machine."""

    source: Literal["python-text"]
    split: SplitSpec = _DEFAULT_SPLIT
    max_bytes: Annotated[int, Field(ge=1024, le=2**40)] = 8_000_000


class FileData(Section):
    """A table of the user's: one file, or a folder of files of one format, read in the order of their names."""

    path: Text
    """Relative to the job file, absolute, or a URI such as s3://bucket/table.parquet."""
    format: Format | None = None
    """None: the file name's end tells."""
    target: Text
    """Column (NPZ: array) to predict."""
    features: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Columns (NPZ: arrays) to predict from; None: all others."""
    shape: tuple[Size, Size, Size] | None = None
    """Channels, height, width, for models that want images."""
    kind: Kind | None = None
    """None: cross_entropy means classification, mse regression."""
    split: SplitSpec = _DEFAULT_SPLIT
    normalize: Normalize = "none"

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        features = self.features or ()
        if self.target in features:
            raise contradiction("features", f"must not contain the target {self.target!r}")
        if len(set(features)) != len(features):
            raise contradiction("features", "names a column twice")
        return self


def _which(value: object) -> str | None:
    """Which kind of data a mapping (or an instance) describes."""
    if isinstance(value, dict):
        given: dict[str, object] = value
        source = given.get("source")
        return "path" if "path" in given else source if isinstance(source, str) else None
    return {DigitsData: "digits", PythonTextData: "python-text", FileData: "path"}.get(type(value))  # type: ignore[call-overload, no-any-return]


DataSpec = Annotated[
    Annotated[DigitsData, Tag("digits")]
    | Annotated[PythonTextData, Tag("python-text")]
    | Annotated[FileData, Tag("path")],
    Discriminator(_which),
]
