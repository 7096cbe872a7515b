"""Every check has a way to pass and a way to fail that says what to do."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.launch import doctor
from tests.kit.command import Pouw
from tests.kit.memory_site import MemorySite

REPOSITORY = Path(__file__).parents[4]


def test_a_sound_machine_passes_and_exits_0(pouw: Pouw, home: HomeLayout) -> None:
    outcome = pouw("doctor", "--json")
    assert (outcome.code, outcome.json["ok"], outcome.err) == (ExitCode.OK, True, "")
    names = [check["name"] for check in outcome.json["checks"]]
    assert {"python", "torch", "ray", "processor", "memory", "disk", "clock", "port", "gateway", "replay"} <= set(names)


def test_one_failed_check_exits_1_with_a_fix(pouw: Pouw, home: HomeLayout) -> None:
    home.keys.chmod(0o755)
    outcome = pouw("doctor")
    assert outcome.code == ExitCode.FAILED
    assert f"fix: chmod go-rwx {home.keys}" in outcome.out
    assert pouw("doctor", "--json").json["ok"] is False


def test_the_pins_are_the_ones_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    required = {each.partition("==")[0].partition("[")[0]: each.partition("==")[2] for each in project["dependencies"]}
    assert {name: required[name] for name in doctor.PINS} == doctor.PINS


@pytest.mark.parametrize(
    ("version", "ok"), [("2.13.0", True), ("2.13.0+cpu", True), ("2.13.1", False), ("2.12.0", False), (None, False)]
)
def test_only_the_pinned_version_will_do(version: str | None, ok: bool) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    check = doctor.check_package("torch", installed)
    assert check.ok == ok
    assert check.fix == ("" if ok else "pip install torch==2.13.0")


@pytest.mark.parametrize(
    ("flags", "ok", "tells"),
    [
        ("sse avx2 fma", True, "AVX2"),
        ("sse avx", False, "no AVX2"),
        ("avx2 avx512f avx512cd avx512bw avx512dq avx512vl", True, "avx512 trains faster"),
        ("avx2 avx512f avx512cd avx512bw avx512dq", True, "AVX2"),
    ],
)
def test_the_portable_class_needs_avx2(tmp_path: Path, flags: str, ok: bool, tells: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: X\nflags\t: {flags}\n")
    check = doctor.check_processor(tmp_path / "cpuinfo")
    assert (check.ok, bool(check.fix)) == (ok, not ok)
    assert check.detail.endswith(tells)


def test_a_clock_before_this_program_is_wrong() -> None:
    assert not doctor.check_clock(0.0).ok
    assert doctor.check_clock(2_000_000_000.0).ok


def test_a_gateway_that_does_not_take_the_token_fails(home: HomeLayout, site: MemorySite) -> None:
    assert doctor.check_gateway(home).ok
    home.token.write_text("wrong")
    check = doctor.check_gateway(home)
    assert not check.ok
    assert check.fix


def test_a_chain_ahead_of_the_clock_fails(home: HomeLayout, site: MemorySite) -> None:
    site.ahead_ms = 10**12
    check = doctor.check_gateway(home)
    assert (check.ok, check.fix) == (False, "set the clock")


def test_without_a_home_there_is_nothing_to_complain_about(tmp_path: Path) -> None:
    home = HomeLayout(root=tmp_path / "none")
    assert doctor.check_modes(home).ok
    assert doctor.check_disk(home).ok
    assert not home.root.exists()
