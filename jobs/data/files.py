"""Finds the files of a data section, on this machine or wherever pyarrow can read, and their digest."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs

from consensus.primitives.integers import Digest
from jobs.errors import DataError
from jobs.spec.data import FORMATS, FileData, Format

_READ_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """One or more files of one format, in the order in which their rows count."""

    filesystem: pafs.FileSystem
    paths: tuple[str, ...]
    format: Format

    def digest(self) -> Digest:
        """SHA-256 of the files' bytes, one after the other."""
        state = hashlib.sha256()
        for path in self.paths:
            for piece in self._pieces(path):
                state.update(piece)
        return Digest(state.digest())

    def _pieces(self, path: str) -> Iterator[bytes]:
        with self.filesystem.open_input_stream(path, compression=None) as stream:
            while piece := stream.read(_READ_BYTES):
                yield piece


def find_files(data: FileData) -> Files:
    """The files that a path or URI names: itself, or all of a folder's that have its format.

    Raises:
        DataError: there are none, they are empty, or their format is not known.
    """
    filesystem, root = _open_filesystem(data.path)
    found = _list(filesystem, root, data.path)
    chosen = data.format or _format_of(found, data.path)
    if len(found) > 1:
        found = [
            info for info in found if data.format or FORMATS.get(PurePosixPath(info.path).suffix.lower()) == chosen
        ]
    for info in found:
        if info.size == 0:
            raise DataError(f"data.path: {info.path} is empty")
    return Files(filesystem=filesystem, paths=tuple(info.path for info in found), format=chosen)


def _open_filesystem(path: str) -> tuple[pafs.FileSystem, str]:
    if "://" not in path:
        return pafs.LocalFileSystem(), str(Path(path).absolute())
    try:
        filesystem, root = pafs.FileSystem.from_uri(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"data.path: {path} cannot be opened ({error})") from error
    return filesystem, root


def _list(filesystem: pafs.FileSystem, root: str, path: str) -> list[pafs.FileInfo]:
    try:
        info = filesystem.get_file_info(root)
        inside = filesystem.get_file_info(pafs.FileSelector(root)) if info.type == pafs.FileType.Directory else [info]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"data.path: {path} cannot be read ({error})") from error
    if info.type == pafs.FileType.NotFound:
        raise DataError(f"data.path: there is no {path}{_neighbour(path)}")
    files = sorted(
        (each for each in inside if each.type == pafs.FileType.File and not each.base_name.startswith((".", "_"))),
        key=lambda each: str(each.path),
    )
    if not files and info.type == pafs.FileType.File:
        return [info]
    if not files:
        raise DataError(f"data.path: there are no files in {path}")
    return files


def _neighbour(path: str) -> str:
    folder = Path(path).parent
    if "://" in path or not folder.is_dir():
        return "; a relative path starts at the folder of the job file"
    close = get_close_matches(Path(path).name, [each.name for each in folder.iterdir()], n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" in {folder}"


def _format_of(found: list[pafs.FileInfo], path: str) -> Format:
    for info in found:
        known = FORMATS.get(PurePosixPath(info.path).suffix.lower())
        if known:
            return known
    raise DataError(f"data.path: the end of {path} names no format; set data.format to parquet, csv, arrow or npz")
