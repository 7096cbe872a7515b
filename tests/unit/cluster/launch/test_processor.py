"""A class that the processor lacks is refused before anything is started."""

from pathlib import Path

import pytest

from cluster.errors import UsageError
from cluster.launch.processor import can_run, check_can_run
from jobs.determinism import AVX512, NATIVE, PORTABLE


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"vendor_id\t: X\nflags\t\t: {flags}\n")
    return path


def test_a_class_needs_its_kernels(tmp_path: Path) -> None:
    old = cpuinfo(tmp_path, "sse avx2 avx512f")
    assert [can_run(name, old) for name in (PORTABLE, AVX512, NATIVE)] == [True, False, True]
    with pytest.raises(UsageError) as caught:
        check_can_run(AVX512, old)
    assert caught.value.code == "replay-class"
    check_can_run(NATIVE, old)


def test_what_has_no_kernels_at_all_may_still_try_the_default(tmp_path: Path) -> None:
    check_can_run(PORTABLE, cpuinfo(tmp_path, "sse"))


def test_a_machine_that_says_nothing_is_left_to_torch(tmp_path: Path) -> None:
    assert can_run(AVX512, tmp_path / "none") is None
    check_can_run(AVX512, tmp_path / "none")
