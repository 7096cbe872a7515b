"""A user's table is read alike from every format, and refused with the row, the column and what to do."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.prepare import PreparedDataset, prepare_dataset
from jobs.errors import DataError
from tests.kit.training import MLP, make_spec

ROWS = 40
TABLE = {"a": [row / 8 for row in range(ROWS)], "b": list(range(ROWS)), "y": [row % 3 for row in range(ROWS)]}
SPLIT = {"train": 0.8, "validation": 0.1, "test": 0.1}


def write(folder: Path, name: str, columns: dict[str, list[object]] | None = None) -> Path:
    path, table = folder / name, pa.table(columns or TABLE)
    match path.suffix:
        case ".csv":
            pacsv.write_csv(table, path)
        case ".parquet":
            pq.write_table(table, path, row_group_size=7)
        case ".feather":
            feather.write_feather(table, path)
        case ".arrow":
            with pa.ipc.new_stream(path, table.schema) as writer:
                writer.write_table(table, max_chunksize=9)
        case ".npz":
            np.savez(path, **{key: np.asarray(values) for key, values in (columns or TABLE).items()})
    return path


def prepare(path: Path | str, *, loss: str = "cross_entropy", batch_size: int = 8, **data: object) -> PreparedDataset:
    described = {"path": str(path), "target": "y", "split": SPLIT} | data
    return prepare_dataset(make_spec(MLP, described, loss=loss, batch_size=batch_size))


def train_rows(prepared: PreparedDataset) -> PartArrays:
    segments = prepared.segments.by_digest()
    return PartArrays.open(prepared.manifest, "train", segments.__getitem__)


def refusal(path: Path | str, **data: object) -> str:
    with pytest.raises(DataError) as raised:
        prepare(path, **data)  # type: ignore[arg-type]
    return str(raised.value)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.arrow", "t.feather", "t.npz"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    prepared = prepare(write(tmp_path, name))
    header, arrays = prepared.manifest.header, train_rows(prepared)
    assert (header.feature_names, header.feature_shape, header.classes) == (("a", "b"), (2,), 3)
    inputs, targets = arrays.gather(np.arange(arrays.rows))
    assert targets is not None
    assert (inputs[:, 0] * 8 == inputs[:, 1]).all()
    assert (inputs[:, 1] % 3 == targets).all()
    assert len(set(inputs[:, 1])) == arrays.rows == 32


def test_formats_share_their_segments(tmp_path: Path) -> None:
    names = ["t.csv", "t.parquet", "t.arrow", "t.npz"]
    digests: set[tuple[Digest, ...]] = set()
    for name in names:
        digests.add(tuple(segment.digest for segment in prepare(write(tmp_path, name)).manifest.train))
    assert len(digests) == 1


def test_the_name_of_the_file_is_not_part_of_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    here, there = prepare(write(tmp_path, "t.csv")), prepare(write(tmp_path / "other", "u.csv"))
    assert here.manifest.root == there.manifest.root


def test_a_folder_is_read_file_after_file(tmp_path: Path) -> None:
    whole, folder = prepare(write(tmp_path, "t.csv")), tmp_path / "pieces"
    folder.mkdir()
    for number in range(4):
        piece = {name: values[number * 10 : number * 10 + 10] for name, values in TABLE.items()}
        write(folder, f"{number}.csv", piece)
    (folder / "_notes.txt").write_text("left out")
    assert prepare(folder).manifest.train == whole.manifest.train


def test_a_uri_is_read_like_a_path(tmp_path: Path) -> None:
    path = write(tmp_path, "t.parquet")
    assert prepare(path.as_uri()).manifest == prepare(path).manifest


def test_regression_keeps_values_as_float32(tmp_path: Path) -> None:
    prepared = prepare(write(tmp_path, "t.csv"), loss="mse", target="a", features=["b"])
    assert (prepared.manifest.target_kind, prepared.manifest.classes) == ("value", 0)
    inputs, targets = train_rows(prepared).gather(np.arange(5))
    assert targets is not None
    assert targets.dtype == np.float32
    assert (targets * 8 == inputs[:, 0]).all()


def test_standard_normalisation_uses_the_training_part_only(tmp_path: Path) -> None:
    plain, path = train_rows(prepare(write(tmp_path, "t.csv"))), tmp_path / "t.csv"
    prepared = prepare(path, normalize="standard")
    inputs, _ = train_rows(prepared).gather(np.arange(plain.rows))
    raw, _ = plain.gather(np.arange(plain.rows))
    mean = np.frombuffer(prepared.manifest.header.mean, "<f4")
    assert np.allclose(mean, raw.mean(axis=0))
    assert np.allclose(inputs.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(inputs.std(axis=0), 1, atol=1e-6)


def test_a_constant_column_survives_normalisation(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", TABLE | {"b": [5] * ROWS})
    inputs, _ = train_rows(prepare(path, normalize="standard")).gather(np.arange(8))
    assert (inputs[:, 1] == 0).all()


def test_rows_can_be_images(tmp_path: Path) -> None:
    pixels = np.arange(ROWS * 12, dtype=np.uint8).reshape(ROWS, 3, 4)
    np.savez(tmp_path / "t.npz", x=pixels, y=np.arange(ROWS) % 2)
    assert prepare(tmp_path / "t.npz").manifest.feature_shape == (1, 3, 4)
    assert prepare(tmp_path / "t.npz", shape=[3, 2, 2]).manifest.feature_shape == (3, 2, 2)
    assert "data.shape: 3 x 3 x 3 is 27 values, but a row has 12" in refusal(tmp_path / "t.npz", shape=[3, 3, 3])


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.arrow", "t.npz"])
def test_says_which_column_is_meant(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, {"Length": [1.0] * ROWS, "y": TABLE["y"]})
    what = "array" if name == "t.npz" else "column"
    assert f"there is no {what} 'length' in the data (did you mean 'Length'?)" in refusal(path, features=["length"])
    assert f"there is no {what} 'zzz' in the data; there are Length, y" in refusal(path, target="zzz")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.arrow", "t.npz"])
@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("b", float("nan"), "row 18, column b: no value"),
        ("a", float("inf"), "row 18, column a: infinite"),
        ("a", 1e300, "row 18, column a: infinite, or too large"),
        ("y", 1.5, "row 18, target y: 1.5 is not a class"),
        ("y", -1, "row 18, target y: -1 is not a class"),
        ("y", 900, "labels go up to 900 in 40 rows"),
    ],
)
def test_names_the_row_and_column_of_a_bad_value(
    tmp_path: Path, name: str, column: str, value: float, expected: str
) -> None:
    values = [float(number) for number in TABLE[column]]
    changed: list[object] = [*values[:17], value, *values[18:]]
    assert expected in refusal(write(tmp_path, name, TABLE | {column: changed}))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.arrow"])
@pytest.mark.parametrize("column", ["b", "y"])
def test_names_the_row_and_column_of_a_missing_value(tmp_path: Path, name: str, column: str) -> None:
    changed: list[object] = [*TABLE[column][:17], None, *TABLE[column][18:]]
    path = write(tmp_path, name, TABLE | {column: changed})
    assert f"row 18, column {column}: no value; fill in or remove such rows" in refusal(path)


def test_text_columns_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", TABLE | {"colour": ["red"] * ROWS})
    assert "column 'colour' holds string, not numbers; convert it, or name the columns" in refusal(path)
    assert prepare(path, features=["a"]).manifest.feature_shape == (1,)
    assert "target 'colour' holds string, not numbers; number the classes" in refusal(path, target="colour")


def test_a_word_far_down_in_a_csv_column_is_found_by_its_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n" + "1,2,0\n" * 800_000 + "1,many,0\n")
    message = refusal(path)
    assert "cannot be read as csv" in message
    assert "Row #800002" in message
    assert "'many'" in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"a,b,y\n", "there are no rows"),
        ("t.csv", b"a,b,y\n1,2,0\n1,2\n", "cannot be read as csv"),
        ("t.csv", b"a,a,y\n1,2,0\n", "column 'a' is there twice"),
        ("t.csv", b"y\n1\n0\n", "no column but the target 'y'"),
        ("t.parquet", b"no parquet at all", "cannot be read as parquet"),
        ("t.arrow", b"no arrow at all", "cannot be read as arrow"),
        ("t.npz", b"no archive at all", "cannot be read as npz"),
        ("t.npz", b"PK\x03\x04 nor this", "cannot be read as npz"),
        ("t.xlsx", b"PK", "names no format; set data.format to parquet, csv, arrow or npz"),
    ],
)
def test_refuses_files_that_are_not_what_they_seem(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert expected in refusal(path)


def test_refuses_pickled_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.array([{"a": 1}] * ROWS, dtype=object), y=np.zeros(ROWS))
    assert "cannot be read as npz" in refusal(tmp_path / "t.npz")


def test_refuses_arrays_of_other_lengths(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.zeros((3, 2)), y=np.zeros(ROWS))
    assert "array 'x' has the shape (3, 2); its first axis must count the 40 rows" in refusal(tmp_path / "t.npz")


def test_says_when_there_is_no_file(tmp_path: Path) -> None:
    write(tmp_path, "table.csv")
    assert "(did you mean 'table.csv'?)" in refusal(tmp_path / "tabel.csv")
    assert "a relative path starts at the folder of the job file" in refusal(tmp_path / "no" / "t.csv")
    assert "cannot be opened" in refusal("nonsense://bucket/t.csv")
    (tmp_path / "hollow").mkdir()
    assert "there are no files in" in refusal(tmp_path / "hollow")


def test_refuses_too_few_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv")
    assert "train.batch_size is 64, but the training part has only 32 rows" in refusal(path, batch_size=64)
    assert "leaves none for test" in refusal(path, split={"train": 0.99, "validation": 0.0, "test": 0.01})


def test_refuses_a_single_class(tmp_path: Path) -> None:
    assert "only one class" in refusal(write(tmp_path, "t.csv", TABLE | {"y": [0] * ROWS}))


def test_notices_data_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv")
    prepared = prepare(path)
    object.__setattr__(prepared.segments.dealing.rows, "_kept", None)
    write(tmp_path, "t.csv", TABLE | {"a": [0.0] * ROWS})
    with pytest.raises(DataError, match="changed while it was being read"):
        prepared.segments.by_digest()


def test_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    described = {"path": str(write(tmp_path, "t.csv")), "target": "y", "normalize": "standard"}
    prepared = prepare_dataset(make_spec(MLP, described, batch_size=8), lambda what, rows: told.append((what, rows)))
    assert told[0] == ("reading", ROWS)
    assert told[-1] == ("cutting", ROWS)
    list(prepared.segments)
    assert told[-1] == ("storing", ROWS)
