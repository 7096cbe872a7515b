"""The record of the last measurements: one flat JSON object.

A figure is under its name, what it was computed from under `name.detail`, and when and of which commit under
`name.date` and `name.commit`.
Figures that a run leaves out keep their last value as long as machine and versions are the same. Quick runs are kept
in a file of their own: they show that a benchmark works, not how fast anything is.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.child import Value
from benchmarks.machine import code_version, describe_machine

FOLDER: Final = Path(__file__).resolve().parent / "results"
Record = dict[str, Value]


def results_file(*, quick: bool) -> Path:
    """Where a run is recorded."""
    return FOLDER / ("quick.json" if quick else "latest.json")


def record(path: Path, measured: Mapping[str, Value], names: Iterable[str], *, load: float) -> Record:
    """Put the figures `names`, with their details, into the file, and return all that is in it then."""
    machine: Record = dict(describe_machine())
    before = _load(path)
    is_same = all(before.get(key) == value for key, value in machine.items())
    taken = {name for name in names if name in measured}
    kept: Record = {key: value for key, value in before.items() if is_same and key.partition(".")[0] not in taken}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about: Record = {}
    version = code_version()
    for name in taken:
        about |= {f"{name}.date": now, f"{name}.load_before": load, f"{name}.commit": version}
    merged: Record = {**kept, **machine, "date": now, **measured, **about}
    _save(path, merged)
    return merged


def _load(path: Path) -> Record:
    if not path.exists():
        return {}
    loaded: Record = json.loads(path.read_text())
    return loaded


def _save(path: Path, merged: Record) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(dict(sorted(merged.items())), indent=2) + "\n")
    partial.rename(path)
