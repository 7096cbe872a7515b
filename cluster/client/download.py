"""Fetch a job's weights, or anything else that is kept, and believe nothing that does not hash to its root.

The bytes stream into a hidden file beside the target while their leaves are hashed. Only when the root over the leaves
and the binding (of weights: their layout) is what was asked for, is the file written and moved into place.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from cluster.api.client import GatewayClient
from cluster.api.service import WeightsInfo
from cluster.errors import ClusterError, UsageError
from cluster.views import PiecesView, View
from consensus.primitives.digest import CHUNK_BYTES, bulk_root, leaf_digest
from consensus.primitives.integers import Digest
from jobs.export import write_safetensors
from jobs.layout import Layout, decode_layout

Form: TypeAlias = Literal["safetensors", "checkpoint"]
"""One file, or a folder that `ray.train.Checkpoint.from_directory` takes."""
WEIGHTS_FILE: Final = "weights.safetensors"
DESCRIPTION_FILE: Final = "pouw.json"


class FetchView(View, frozen=True):
    """What `pouw fetch` wrote."""

    path: str
    bytes: int
    """Size of the file."""
    digest: str
    """State digest of the weights, checked."""


class WeightsError(ClusterError):
    """The bytes are not the weights that the chain names."""

    code = "weights"


def fetch_weights(  # what is wanted, from whom, and how to tell
    client: GatewayClient,
    job_id: str,
    state_digest: str,
    target: Path,
    report: Callable[[int, int], None],
    *,
    form: Form = "safetensors",
    site_copy: bool = False,
) -> FetchView:
    """Fetch, check and write one job's weights. `report` is told (bytes so far, bytes in all).

    `state_digest`: what the job's status names; what the weights' own description says must be the same. What came
    before a connection was cut is kept beside the target, and the next call goes on from there.

    Raises:
        WeightsError: the bytes or their description are not what `state_digest` stands for; no file is left.
    """
    info = client.weights_info(job_id)
    layout = decode_layout(info.layout)
    _check_description(info, layout, state_digest)
    _check_target(target, form)
    whole = PiecesView(root=state_digest, bytes=info.size_bytes, binding=layout.digest.hex())
    chunks = partial(client.weights, job_id, site_copy=site_copy)
    with _received(whole, target, chunks, report) as file:
        size_bytes = _export(file, target, layout, info, form)
    return FetchView(path=str(target), bytes=size_bytes, digest=state_digest)


def fetch_artifact(client: GatewayClient, root: str, target: Path, report: Callable[[int, int], None]) -> FetchView:
    """Fetch, check and write any artifact that is kept, as it is. Goes on where a call before was cut.

    Raises:
        WeightsError: the bytes are not what `root` stands for; no file is left.
    """
    info = client.artifact_info(root)
    _check_target(target, "safetensors")
    with _received(replace(info, root=root), target, partial(client.artifact, root), report) as file:
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).replace(target)
    return FetchView(path=str(target), bytes=info.bytes, digest=root)


@contextmanager
def _received(
    info: PiecesView, target: Path, chunks: Callable[[int], Iterator[bytes]], report: Callable[[int, int], None]
) -> Iterator[IO[bytes]]:
    """All bytes in a file beside the target, checked; it is gone afterwards. `chunks` come from the given one on."""
    part = target.parent / f".{target.name}.{info.root[:16]}.part"
    try:
        with part.open("a+b") as file:
            leaves = _leaves_so_far(file, info.bytes)
            if file.tell() < info.bytes:
                leaves += _store(_chunks(chunks(len(leaves))), file, info.bytes, report)
            actual = bulk_root(leaves, file.tell(), Digest(bytes.fromhex(info.binding))).hex()
            if actual != info.root:
                part.unlink()
                raise WeightsError(
                    f"the bytes hash to {actual[:16]}..., what was asked for is {info.root[:16]}...",
                    hint="the site sent wrong bytes; try again, and look into its log: pouw logs",
                )
            yield file
        part.unlink(missing_ok=True)
    finally:
        if part.exists() and part.stat().st_size < CHUNK_BYTES:  # the next call could not go on from there
            part.unlink()


def _leaves_so_far(file: IO[bytes], size_bytes: int) -> list[Digest]:
    """The leaves of the complete chunks that an earlier call left; the file stands behind them."""
    file.seek(0)
    leaves: list[Digest] = []
    done = 0
    while done < size_bytes:
        wanted = min(CHUNK_BYTES, size_bytes - done)
        chunk = file.read(wanted)
        if len(chunk) < wanted:
            break
        leaves.append(leaf_digest(chunk))
        done += wanted
    file.truncate(done)
    file.seek(0, os.SEEK_END)
    return leaves


def _check_description(info: WeightsInfo, layout: Layout, state_digest: str) -> None:
    if info.state_digest != state_digest:
        raise WeightsError("the site describes the weights of another state than the job's last one")
    if info.size_bytes != layout.bytes:
        raise WeightsError(f"the weights have {info.size_bytes} bytes, their layout says {layout.bytes}")


def _check_target(target: Path, form: Form) -> None:
    if form == "checkpoint" and target.exists():
        raise UsageError(f"{target} exists already", hint="name a folder that is to be made", code="output")
    if target.is_dir():
        raise UsageError(f"{target} is a folder", hint="name a file, such as weights.safetensors", code="output")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", hint="create it first", code="output")


def _store(
    chunks: Iterable[bytes], file: IO[bytes], size_bytes: int, report: Callable[[int, int], None]
) -> list[Digest]:
    leaves: list[Digest] = []
    done = file.tell()
    for chunk in chunks:
        done += len(chunk)
        if done > size_bytes:
            raise WeightsError(f"the site sends more than the {size_bytes} bytes it announced")
        file.write(chunk)
        leaves.append(leaf_digest(chunk))
        report(done, size_bytes)
    return leaves


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut where leaves begin, however they arrived."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= CHUNK_BYTES:
            yield bytes(waiting[:CHUNK_BYTES])
            del waiting[:CHUNK_BYTES]
    if waiting:
        yield bytes(waiting)


def _export(file: IO[bytes], target: Path, layout: Layout, info: WeightsInfo, form: Form) -> int:
    """Write the file, or a folder with it and a description, which appears when it is complete."""
    if form == "safetensors":
        return _write(file, target, layout, info)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        made = Path(folder) / "checkpoint"
        made.mkdir()
        size_bytes = _write(file, made / WEIGHTS_FILE, layout, info)
        about = {"job": info.job_id, "name": info.name, "state_digest": info.state_digest}
        (made / DESCRIPTION_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(about)))
        made.replace(target)
    return size_bytes


def _write(file: IO[bytes], target: Path, layout: Layout, info: WeightsInfo) -> int:
    file.flush()
    metadata = {"pouw.job": info.job_id, "pouw.name": info.name}
    if not info.size_bytes:
        return write_safetensors(target, b"", layout, metadata)
    state = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # unmapped with its last view
    return write_safetensors(target, state, layout, metadata)
