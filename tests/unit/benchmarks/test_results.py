"""The record keeps figures of one machine, each with its own details, over runs that measure only some of them."""

import json
from pathlib import Path

from benchmarks.results import record


def test_keeps_figures_that_a_run_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    record(path, {"digest_gb_s": 4.0}, ["digest_gb_s"], load=0.1)
    merged = record(path, {"help_ms": 200.0}, ["help_ms"], load=0.2)
    assert (merged["digest_gb_s"], merged["help_ms"]) == (4.0, 200.0)
    assert (merged["digest_gb_s.load_before"], merged["help_ms.load_before"]) == (0.1, 0.2)
    assert json.loads(path.read_text()) == merged


def test_replaces_a_figure_with_all_its_details(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    record(path, {"digest_gb_s": 4.0, "digest_gb_s.old": 1.0}, ["digest_gb_s"], load=0.0)
    merged = record(path, {"digest_gb_s": 5.0, "digest_gb_s.new": 2.0}, ["digest_gb_s"], load=0.0)
    assert merged["digest_gb_s"] == 5.0
    assert merged["digest_gb_s.new"] == 2.0
    assert "digest_gb_s.old" not in merged


def test_keeps_nothing_of_another_machine(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    path.write_text(json.dumps({"machine": "another one", "help_ms": 100.0, "help_ms.date": "then"}))
    merged = record(path, {"digest_gb_s": 4.0}, ["digest_gb_s"], load=0.0)
    assert "help_ms" not in merged
    assert "help_ms.date" not in merged
