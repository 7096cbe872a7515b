"""The keeper with real processes: what is run again, what is not, and that nothing is left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cluster.config import HomeLayout, read_site_file
from cluster.launch.keeper import _RESTARTS
from tests.kit.real_site import wait_for

REPOSITORY = Path(__file__).parents[4]
Keep = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def keep(home: HomeLayout) -> Keep:
    home.create()

    def start(ending: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cluster.launch.keeper", "--home", str(home.root)]
        command += ["--settings", str(home.settings_file), "--module", "tests.kit.ending_host"]
        return subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "ENDING": ending})

    return start


def runs(home: HomeLayout) -> list[int]:
    """The process that each run left behind."""
    file = home.root / "runs"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_host_that_never_got_the_site_up_is_not_run_again(home: HomeLayout, keep: Keep) -> None:
    assert keep("fails").wait(60) == 1
    assert len(runs(home)) == 1
    assert not any(is_running(pid) for pid in runs(home))


def test_a_host_that_lost_ray_is_run_again_and_nothing_of_it_is_left(home: HomeLayout, keep: Keep) -> None:
    keeper = keep("lost stays")
    left = wait_for(lambda: runs(home), lambda left: len(left) == 2, 60)
    assert not is_running(left[0])
    keeper.terminate()
    assert keeper.wait(60) != 75
    assert not is_running(left[1])
    assert len(runs(home)) == 2
    folders = [Path(line) for line in (home.root / "folders").read_text().splitlines()]
    assert len({*folders}) == 2
    assert not any(folder.exists() for folder in folders)


def test_one_that_keeps_ending_is_given_up_and_its_record_goes(home: HomeLayout, keep: Keep) -> None:
    assert keep("lost").wait(120) == 75
    assert len(runs(home)) == _RESTARTS + 1
    assert read_site_file(home) is None


def test_a_host_does_not_outlive_its_keeper(home: HomeLayout, keep: Keep) -> None:
    keeper = keep("stays")
    wait_for(lambda: runs(home), bool, 60)
    host = psutil.Process(keeper.pid).children()[0]
    left = runs(home)[0]
    keeper.send_signal(signal.SIGKILL)
    keeper.wait(60)
    psutil.wait_procs([host], timeout=60)
    assert not is_running(host.pid)
    os.kill(left, signal.SIGKILL)
    shutil.rmtree((home.root / "folders").read_text().strip())
