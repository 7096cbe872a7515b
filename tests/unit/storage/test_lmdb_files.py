"""Who may open the files, who may read them, and what is said when they are damaged."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import (
    StorageCorruptError,
    StorageError,
    StorageFailedError,
    StorageLockedError,
    StorageMissingError,
    StorageReadOnlyError,
)
from storage.lmdb_kv import LmdbStore

ROOT = Path(__file__).parents[3]
ENTRIES = {b"key %03d" % number: bytes([number]) * 3000 for number in range(200)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A closed store with `ENTRIES`."""
    folder = tmp_path / "node" / "store"
    store = LmdbStore.open(folder, initial_size_bytes=1 << 20)
    with store.atomic_batch() as batch:
        for key, value in ENTRIES.items():
            batch.put(key, value)
    store.close()
    return folder


@pytest.fixture
def owner(written: Path) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """Another process that has the store open for writing and grows it when it is sent a line."""
    script = """
import sys
from pathlib import Path
from storage.lmdb_kv import LmdbStore
store = LmdbStore.open(Path(sys.argv[1]))
print("open", flush=True)
for line in sys.stdin:
    store.put(b"grown " + line.strip().encode(), bytes(24 << 20))
    print("written", flush=True)
"""
    command = [sys.executable, "-c", script, str(written)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={"PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield written, process
        process.kill()


def ask_to_grow(process: "subprocess.Popen[str]", name: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "written\n"


def test_folder_and_files_are_private(written: Path) -> None:
    assert written.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in written.iterdir()} == {
        "data.mdb": 0o600,
        "lock.mdb": 0o600,
        "owner.lock": 0o600,
    }


def test_entries_survive_reopening(written: Path) -> None:
    store = LmdbStore.open(written)
    assert dict(store.scan()) == ENTRIES
    store.close()


def test_second_opening_in_this_process_is_refused(written: Path) -> None:
    store = LmdbStore.open(written)
    with pytest.raises(StorageLockedError, match="open for writing"):
        LmdbStore.open(written)
    with pytest.raises(StorageLockedError, match="this process"):
        LmdbStore.open_read_only(written)
    assert store.get(b"key 000") == ENTRIES[b"key 000"]
    store.close()
    LmdbStore.open(written).close()


def test_second_process_is_refused_until_the_first_is_gone(owner: tuple[Path, "subprocess.Popen[str]"]) -> None:
    folder, process = owner
    with pytest.raises(StorageLockedError) as caught:
        LmdbStore.open(folder)
    assert caught.value.code == "storage-locked"
    assert str(folder) in str(caught.value)
    process.kill()
    process.wait()
    LmdbStore.open(folder).close()


def test_reader_follows_a_running_owner_that_grows(owner: tuple[Path, "subprocess.Popen[str]"]) -> None:
    folder, process = owner
    reader = LmdbStore.open_read_only(folder)
    assert dict(reader.scan()) == ENTRIES
    ask_to_grow(process, "1")
    assert reader.get(b"grown 1") == bytes(24 << 20)
    with reader.snapshot() as snapshot:
        ask_to_grow(process, "2")
        assert snapshot.get(b"grown 2") is None
    assert [key for key, _ in reader.scan(b"grown")] == [b"grown 1", b"grown 2"]
    reader.close()


def test_read_only_store_reads_after_its_owner_and_refuses_to_write(written: Path) -> None:
    store = LmdbStore.open_read_only(written)
    assert dict(store.scan()) == ENTRIES
    with pytest.raises(StorageReadOnlyError):
        store.put(b"key", b"value")
    with pytest.raises(StorageReadOnlyError):
        store.delete(b"key")
    store.close()


def test_reading_where_there_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageMissingError, match="no store here yet"):
        LmdbStore.open_read_only(tmp_path)
    assert list(tmp_path.iterdir()) == []


def overwrite(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    data_file = folder / "data.mdb"
    data_file.write_bytes(damage(data_file.read_bytes()))


@pytest.mark.parametrize("opening", [LmdbStore.open, LmdbStore.open_read_only])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="emptied"),
        pytest.param(lambda data: data[:100], id="cut in the first page"),
        pytest.param(lambda data: data[:4096], id="cut after the first page"),
        pytest.param(lambda data: data[:8192], id="cut after the meta pages"),
        pytest.param(lambda data: data[:200_000], id="cut in the middle"),
        pytest.param(lambda data: bytes(len(data)), id="zeros"),
        pytest.param(lambda data: b"not a database " * (len(data) // 15), id="text"),
        pytest.param(lambda data: b"\xa5" * len(data), id="pattern"),
    ],
)
def test_damaged_file_is_refused(
    written: Path, opening: Callable[[Path], LmdbStore], damage: Callable[[bytes], bytes]
) -> None:
    overwrite(written, damage)
    with pytest.raises(StorageCorruptError) as caught:
        opening(written)
    assert caught.value.code == "storage-corrupt"
    assert str(written) in str(caught.value)
    assert "synchronise again" in str(caught.value)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_file_cut_anywhere_is_refused_or_complete(written: Path, share: float) -> None:
    whole = (written / "data.mdb").read_bytes()
    overwrite(written, lambda data: data[: int(share * len(data))])
    try:
        store = LmdbStore.open(written)
    except StorageCorruptError:
        pass
    else:
        assert dict(store.scan()) == ENTRIES
        store.close()
    finally:
        (written / "data.mdb").write_bytes(whole)


def test_garbage_behind_the_meta_pages_is_found_when_it_is_read(written: Path) -> None:
    overwrite(written, lambda data: data[:8192] + b"\xa5" * (len(data) - 8192))
    store = LmdbStore.open(written)
    with pytest.raises(StorageCorruptError):
        list(store.scan())
    with pytest.raises(StorageCorruptError):
        store.get(b"key 001")
    store.close()


def test_lost_data_file_is_not_a_fresh_start(written: Path) -> None:
    (written / "data.mdb").unlink()
    with pytest.raises(StorageCorruptError, match="gone"):
        LmdbStore.open(written)
    assert not (written / "data.mdb").exists()


def test_refused_opening_leaves_the_store_unlocked(written: Path) -> None:
    whole = (written / "data.mdb").read_bytes()
    overwrite(written, lambda data: data[:8192])
    with pytest.raises(StorageCorruptError):
        LmdbStore.open(written)
    (written / "data.mdb").write_bytes(whole)
    store = LmdbStore.open(written)
    assert dict(store.scan()) == ENTRIES
    store.close()


def test_creation_that_was_interrupted_starts_over(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    (tmp_path / "owner.lock").write_bytes(b"")
    store = LmdbStore.open(tmp_path)
    assert list(store.scan()) == []
    store.close()


def test_path_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailedError, match="file/store") as caught:
        LmdbStore.open(tmp_path / "file" / "store")
    assert isinstance(caught.value, StorageError)
