"""A full map grows unseen, up to the limit; what does not fit changes nothing."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from storage.errors import StorageFullError, StorageUsageError
from storage.lmdb_kv import LmdbStore

ROOT = Path(__file__).parents[3]
PIECE = bytes(range(256)) * 1024  # 256 KiB


def fill(store: LmdbStore, name: bytes, pieces: int) -> None:
    with store.atomic_batch() as batch:
        for number in range(pieces):
            batch.put(b"%s/%04d" % (name, number), PIECE)


def data_bytes(path: Path) -> int:
    return (path / "data.mdb").stat().st_size


def test_batch_larger_than_the_map_grows_it(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20)
    fill(store, b"a", 20)
    assert [value == PIECE for _, value in store.scan(b"a/")] == [True] * 20
    assert data_bytes(tmp_path) == 8 << 20
    store.close()


def test_batch_that_has_read_may_grow_the_map(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20)
    store.put(b"key", b"value")
    with store.atomic_batch() as batch:
        assert batch.get(b"key") == b"value"
        for number in range(20):
            batch.put(b"a/%04d" % number, PIECE)
        assert store.get(b"a/0000") is None
    assert sum(1 for _ in store.scan(b"a/")) == 20
    store.close()


def test_growth_survives_reopening_with_a_smaller_size(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20)
    fill(store, b"a", 20)
    store.close()
    store = LmdbStore.open(tmp_path, initial_size_bytes=4096, max_size_bytes=4096)
    assert sum(1 for _ in store.scan(b"a/")) == 20
    store.close()


def test_growth_waits_for_readers_of_other_threads(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20)
    store.put(b"key", b"old")
    written = threading.Event()
    writer = threading.Thread(target=lambda: (fill(store, b"a", 20), written.set()))
    with store.snapshot() as reader:
        writer.start()
        assert not written.wait(0.2)
        assert store.get(b"key") == b"old"
        assert reader.get(b"key") == b"old"
    writer.join()
    assert sum(1 for _ in store.scan(b"a/")) == 20
    store.close()


def test_growth_under_the_snapshot_of_the_same_thread_is_refused(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20)
    with store.snapshot(), pytest.raises(StorageUsageError, match="snapshot"):
        fill(store, b"a", 20)
    assert list(store.scan()) == []
    fill(store, b"a", 20)
    store.close()


def test_readers_stay_right_while_the_map_grows(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=64 << 10)
    store.put(b"key", PIECE)
    wrong: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.0005):
            if store.get(b"key") != PIECE or sum(1 for _ in store.scan(b"key")) != 1:
                wrong.append(1)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(8):
        fill(store, b"a%d" % number, 8)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    store.close()


def test_limit_reached_leaves_everything_as_it_was(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20, max_size_bytes=4 << 20)
    fill(store, b"a", 8)
    before = list(store.scan())
    with pytest.raises(StorageFullError, match="max_size_bytes") as caught:
        fill(store, b"b", 16)
    assert caught.value.code == "storage-full"
    assert caught.value.path == tmp_path
    assert list(store.scan()) == before
    fill(store, b"c", 2)
    store.close()
    store = LmdbStore.open(tmp_path, max_size_bytes=16 << 20)
    fill(store, b"b", 16)
    assert sum(1 for _ in store.scan()) == 26
    store.close()


def test_deleting_makes_room_below_the_limit(tmp_path: Path) -> None:
    store = LmdbStore.open(tmp_path, initial_size_bytes=1 << 20, max_size_bytes=4 << 20)
    for number in range(20):
        fill(store, b"%d" % number, 4)
        for key, _ in store.scan():
            store.delete(key)
    store.close()


def test_file_size_limit_of_the_system_is_a_full_store(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from storage.errors import StorageFullError
from storage.lmdb_kv import LmdbStore
store = LmdbStore.open(Path(sys.argv[1]), initial_size_bytes=1 << 20)
store.put(b"key", b"value")
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    store.put(b"large", bytes(2 << 20))
except StorageFullError as error:
    print("full")
print(list(store.scan()))
"""
    outcome = run_script(script, tmp_path)
    assert outcome == ["full", "[(b'key', b'value')]"]


def test_full_disk_leaves_everything_as_it_was(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from storage.errors import StorageFullError
from storage.lmdb_kv import LmdbStore
folder = Path(sys.argv[1])
filler = folder / "filler"
filler.write_bytes(bytes(2 << 20))
store = LmdbStore.open(folder / "store")
written = 0
try:
    while True:
        with store.atomic_batch() as batch:
            for part in range(2):
                batch.put(b"%d/%d" % (written, part), bytes([written]) * 100_000)
        written += 1
except StorageFullError as error:
    print(error.code, "disk" in str(error))
expected = {b"%d/%d" % (n, p): bytes([n]) * 100_000 for n in range(written) for p in range(2)}
print(written > 3, dict(store.scan()) == expected)
filler.unlink()
store.put(b"more", bytes(500_000))
store.close()
store = LmdbStore.open(folder / "store")
print(dict(store.scan()) == expected | {b"more": bytes(500_000)})
"""
    mounted = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=4m none "$0" && exec "$@"', str(tmp_path)]
    if subprocess.run([*mounted, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let users mount a small disk")
    assert run_script(script, tmp_path, mounted) == ["storage-full True", "True True", "True"]


def run_script(script: str, folder: Path, prefix: list[str] | None = None) -> list[str]:
    command = [*(prefix or []), sys.executable, "-c", script, str(folder)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    finished = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60)
    return finished.stdout.splitlines()
