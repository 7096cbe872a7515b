"""How fast, how large and how frugal keeping is: artifacts, shards and what a repair reads.

Compared: putting an artifact that is streamed from a file, with a plain copy of that file in pieces of one chunk and
one fsync; getting it chunk by chunk, with only hashing as many bytes in memory, which no checked reading can be faster
than. A put is on the disk when it returns, as the copy is, and checks, counts and shares its chunks besides.

Fair because: same bytes, same file system, one process, both sides with the file in the page cache; they take turns,
forwards and backwards, and what counts is the median of the ratios within one turn. Every put is of an artifact that
was deleted before, so nothing is found already there.

Shards: 4 of 6 in memory, encoding all parity, decoding with both parity shards in place of two of the data. Size: what
the file takes on the disk after a put into an empty store, and after a replica was overwritten 3 times in place.
Memory: 2 GB streamed through put and then get, the growth of anonymous memory (`RssAnon`), which is all but the
mapped database and other page cache.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import numpy as np

from benchmarks.child import Results, Value
from benchmarks.repetition import alternate, median_ratio, median_time_s
from consensus.primitives.digest import CHUNK_BYTES, leaf_digest
from consensus.primitives.integers import ZERO_DIGEST, Digest
from storage.artifact_manifest import Manifest
from storage.artifacts import ArtifactStore
from storage.erasure import ErasureCode
from storage.replica_store import ReplicaStore

_DATA_SHARDS: Final = 4
_ALL_SHARDS: Final = 6
_PASSES: Final = 3
_MIB: Final = 1024 * 1024
_SAMPLE_S: Final = 0.002
_SPEEDS: Final = frozenset({"artifact_put_share", "artifact_get_share"})
_SHARDS: Final = frozenset({"erasure_encode_gb_s", "erasure_decode_gb_s", "repair_read_shards"})
_SIZES: Final = frozenset({"artifact_file_share", "replica_file_share"})


def measure(arguments: Mapping[str, Value]) -> Results:
    """GB/s, a GB being 10^9 bytes; MiB; ratios."""
    wanted = arguments["wanted"]
    assert isinstance(wanted, list)
    names, quick = set(wanted), bool(arguments["quick"])
    size, repetitions = (64 * _MIB, 3) if quick else (256 * _MIB, 11)
    results: Results = {}
    with TemporaryDirectory(prefix="pouw-bench-storage-") as name:
        folder = Path(name)
        if "artifact_stream_mib" in names:
            results |= _stream_memory(folder / "stream", size if quick else 2_000_000_000)
        if names & _SPEEDS:
            results |= _artifact_speeds(folder, size, repetitions)
        if names & _SIZES:
            results |= _file_sizes(folder, size)
    if names & _SHARDS:
        results |= _shard_speeds(size // 4, repetitions)
    return {name: value for name, value in results.items() if name.split(".")[0] in names}


def _artifact_speeds(folder: Path, size: int, repetitions: int) -> Results:
    source, copy = folder / "source", folder / "copy"
    source.write_bytes(np.random.default_rng(0).bytes(size))
    artifacts = ArtifactStore.open(folder / "speeds")
    root = artifacts.put(_read(source))
    chunks = list(_read(source))

    work: dict[str, Callable[[], object]] = {
        "copy": lambda: _copy(source, copy),
        "hash": lambda: [leaf_digest(chunk) for chunk in chunks],
        "put": lambda: artifacts.put(_read(source), expected_root=root),
        "get": lambda: _drain(artifacts.open_reader(root)),
    }

    def run(arm: str) -> float:
        if arm == "put":
            artifacts.delete(root)
        started = perf_counter()
        work[arm]()
        speed = size / 1e9 / (perf_counter() - started)
        copy.unlink(missing_ok=True)
        return speed

    speeds = alternate(list(work), repetitions, run)
    artifacts.close()
    return {
        "artifact_put_share": median_ratio(speeds["put"], speeds["copy"]),
        "artifact_get_share": median_ratio(speeds["get"], speeds["hash"]),
        **{f"artifact_put_share.{arm}_gb_s": float(np.median(speeds[arm])) for arm in ("put", "copy", "hash")},
        **{f"artifact_get_share.{arm}_gb_s": float(np.median(speeds[arm])) for arm in ("get", "hash")},
    }


def _shard_speeds(size: int, repetitions: int) -> Results:
    code = ErasureCode.of(_DATA_SHARDS, _ALL_SHARDS)
    data = np.random.default_rng(1).bytes(size)
    shards = [b"".join(chunks) for chunks in zip(*code.encode(data), strict=True)]
    kept = {number: [shards[number]] for number in range(_ALL_SHARDS - _DATA_SHARDS, _ALL_SHARDS)}
    read = [0] * _ALL_SHARDS

    def counted(number: int) -> Iterator[bytes]:
        for start in range(0, len(shards[number]), CHUNK_BYTES):
            chunk = shards[number][start : start + CHUNK_BYTES]
            read[number] += len(chunk)
            yield chunk

    rebuilt = b"".join(code.repair({number: counted(number) for number in kept}, 0, size))
    assert rebuilt == shards[0]
    return {
        "erasure_encode_gb_s": size / 1e9 / median_time_s(lambda: _drain(code.encode(data)), repetitions),
        "erasure_decode_gb_s": size / 1e9 / median_time_s(lambda: _drain(code.decode(kept, size)), repetitions),
        "repair_read_shards": sum(read) / len(shards[0]),
    }


def _file_sizes(folder: Path, size: int) -> Results:
    artifacts = ArtifactStore.open(folder / "sizes")
    manifest = artifacts.load_manifest(artifacts.put(_stream(size)))
    replicas = ReplicaStore.open(folder / "replicas")
    _overwrite(replicas, manifest, artifacts)
    shares = [_disk_bytes(folder / name) / size for name in ("sizes", "replicas")]
    artifacts.close()
    replicas.close()
    return dict(zip(("artifact_file_share", "replica_file_share"), shares, strict=True))


def _overwrite(replicas: ReplicaStore, manifest: Manifest, artifacts: ArtifactStore) -> None:
    """Receive a replica and replace all of it as often as sealing would."""
    replicas.begin(ZERO_DIGEST, 0, manifest, _PASSES)
    replica = replicas.put_chunks(ZERO_DIGEST, 0, artifacts.open_reader(manifest.root))
    for step in range(_PASSES * replica.chunk_count):
        index = step % replica.chunk_count
        passes, chunks = divmod(step + 1, replica.chunk_count)
        group = Digest(bytes(32)) if step >= (_PASSES - 1) * replica.chunk_count else None
        chunk = replicas.load_chunk(ZERO_DIGEST, 0, index)
        replicas.store_sealed(ZERO_DIGEST, 0, index, chunk, passes_done=passes, chunks_done=chunks, group_root=group)


def _stream_memory(folder: Path, size: int) -> Results:
    artifacts = ArtifactStore.open(folder)
    artifacts.delete(artifacts.put(_stream(CHUNK_BYTES)))
    with _peak_anonymous() as putting:
        root = artifacts.put(_stream(size))
    with _peak_anonymous() as getting:
        _drain(artifacts.open_reader(root))
    artifacts.close()
    return {
        "artifact_stream_mib": max(putting[0], getting[0]) / _MIB,
        "artifact_stream_mib.put": putting[0] / _MIB,
        "artifact_stream_mib.get": getting[0] / _MIB,
    }


@contextmanager
def _peak_anonymous() -> Iterator[list[int]]:
    """The largest growth of this process' anonymous memory within the block, in bytes."""
    peak, ended, before = [0], threading.Event(), _anonymous_bytes()

    def sample() -> None:
        while not ended.wait(_SAMPLE_S):
            peak[0] = max(peak[0], _anonymous_bytes() - before)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _anonymous_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise LookupError("/proc/self/status has no RssAnon")


def _stream(size: int) -> Iterator[bytes]:
    """Chunks of which no two are the same, without holding them."""
    block = np.random.default_rng(2).bytes(CHUNK_BYTES)
    for start in range(0, size, CHUNK_BYTES):
        yield (start.to_bytes(8, "big") + block[8:])[: size - start]


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _copy(source: Path, target: Path) -> None:
    with target.open("wb", buffering=0) as file:
        for piece in _read(source):
            file.write(piece)
        os.fsync(file.fileno())


def _drain(items: Iterator[object]) -> None:
    for _ in items:
        pass


def _disk_bytes(folder: Path) -> int:
    """What the files take on the disk; holes take nothing."""
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())
