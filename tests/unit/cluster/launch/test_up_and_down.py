"""A site is started, found, refused twice and ended; only its own process is ever touched."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cluster.cli.starting import ask_to_stop
from cluster.client.connection import connect
from cluster.config import HomeLayout, SiteFile, mark_process, read_site_file, write_site_file
from cluster.errors import ConflictError, ExitCode, UsageError
from cluster.launch.down import stop_site
from cluster.launch.lock import site_lock
from cluster.launch.ports import choose_port
from cluster.launch.up import StartError, start_site
from cluster.settings import SiteSettings
from tests.kit.command import Pouw

HOST = "tests.kit.stand_in_host"
SETTINGS = SiteSettings(miners=3, port=0)
REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def clean_up(home: HomeLayout, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(REPOSITORY)
    yield
    stop_site(home, ask_to_stop(home), ask_timeout_s=1, terminate_timeout_s=1)


def test_a_site_comes_up_and_goes_down_when_asked(home: HomeLayout, pouw: Pouw) -> None:
    ticks: list[int] = []
    site = start_site(home, SETTINGS, tick=lambda: ticks.append(1), module=HOST)
    assert (site.ready, site.miners, site.is_alive) == (True, 3, True)
    assert ticks
    assert connect(home, {}).is_healthy()
    assert os.getsid(site.pid) == site.pid
    outcome = pouw("down", "--json")
    assert outcome.json == {"stopped": True, "how": "asked", "pid": site.pid, "worker_pid": None, "workers": []}
    assert not site.is_alive
    assert read_site_file(home) is None


def test_what_it_starts_with_is_private(home: HomeLayout) -> None:
    start_site(home, SETTINGS, module=HOST)
    files = [home.token, home.ray_token, home.settings_file, home.site_file, home.host_log]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert msgspec.json.decode(home.settings_file.read_bytes(), type=SiteSettings) == SETTINGS
    assert home.token.read_bytes() != home.ray_token.read_bytes()


def test_a_second_start_is_refused(home: HomeLayout, pouw: Pouw) -> None:
    site = start_site(home, SETTINGS, module=HOST)
    with pytest.raises(ConflictError) as caught:
        start_site(home, SETTINGS, module=HOST)
    assert caught.value.code == "up"
    assert site.is_alive
    assert pouw("up", "--json").code == ExitCode.FAILED


def test_more_miners_than_this_machine_has_room_for_are_refused_before_anything_starts(
    home: HomeLayout, pouw: Pouw
) -> None:
    outcome = pouw("up", "--miners", "4096", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "machines")
    assert "on this machine by" in outcome.out + outcome.err
    assert not home.settings_file.exists()


@pytest.mark.parametrize("what", ["supervisors", "verifiers"])
def test_more_than_one_of_a_role_is_refused_not_ignored(home: HomeLayout, what: str) -> None:
    with pytest.raises(UsageError, match="one") as caught:
        start_site(home, msgspec.structs.replace(SETTINGS, **{what: 2}), module=HOST)
    assert caught.value.code == what
    assert not home.settings_file.exists()


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-host.invalid", "1.2.3"])
def test_a_head_that_is_not_on_this_machine_is_refused(home: HomeLayout, address: str) -> None:
    with pytest.raises(UsageError) as caught:
        start_site(home, msgspec.structs.replace(SETTINGS, node_ip=address), module=HOST)
    assert (caught.value.code, address in caught.value.message) == ("address", True)
    assert not home.settings_file.exists()


def test_a_taken_port_for_other_machines_is_refused(home: HomeLayout) -> None:
    with socket.create_server(("127.0.0.2", 0)) as listener:
        taken = msgspec.structs.replace(SETTINGS, node_ip="127.0.0.2", ray_port=listener.getsockname()[1])
        with pytest.raises(ConflictError) as caught:
            start_site(home, taken, module=HOST)
    assert caught.value.code == "port-in-use"
    assert not home.settings_file.exists()


def test_a_record_of_a_site_that_was_killed_is_no_obstacle(home: HomeLayout, pouw: Pouw) -> None:
    dead = SiteFile(
        pid=os.getpid(),
        create_time=1.0,
        address="http://127.0.0.1:1",
        ray_address="",
        dashboard="",
        miners=1,
        supervisors=1,
        started_at="",
        ready=True,
    )
    write_site_file(home, dead)
    assert pouw("down", "--json").json["stopped"] is False
    write_site_file(home, dead)
    assert start_site(home, SETTINGS, module=HOST).is_alive


@pytest.mark.parametrize(
    ("manner", "code", "words"),
    [
        ("explains", "storage", "the chain is damaged"),
        ("crashes", "start", "status 3; its last lines:\nsomething went wrong in line 12"),
    ],
)
def test_a_start_that_fails_says_why(
    home: HomeLayout, monkeypatch: pytest.MonkeyPatch, manner: str, code: str, words: str
) -> None:
    home.host_log.write_text("of an earlier start\n")
    monkeypatch.setenv("STAND_IN", manner)
    with pytest.raises(StartError) as caught:
        start_site(home, SETTINGS, module=HOST)
    assert caught.value.code == code
    assert words in caught.value.message
    assert "earlier" not in caught.value.message
    assert caught.value.hint


def test_an_earlier_explanation_is_not_told_again(home: HomeLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "explains")
    with pytest.raises(StartError):
        start_site(home, SETTINGS, module=HOST)
    monkeypatch.setenv("STAND_IN", "crashes")
    with pytest.raises(StartError) as caught:
        start_site(home, SETTINGS, module=HOST)
    assert caught.value.code == "start"


def test_a_start_that_takes_too_long_leaves_no_process(home: HomeLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "hangs")
    before = {child.pid for child in _children()}
    with pytest.raises(StartError, match="not ready after"):
        start_site(home, SETTINGS, module=HOST, timeout_s=0.2)
    assert {child.pid for child in _children()} == before


def test_an_interrupted_start_leaves_no_process(home: HomeLayout) -> None:
    before = {child.pid for child in _children()}

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_site(home, SETTINGS, tick=interrupt, module=HOST)
    assert {child.pid for child in _children()} == before


@pytest.mark.parametrize(("manner", "how"), [("deaf", "terminated"), ("stubborn", "killed")])
def test_a_site_that_does_not_stop_is_ended(
    home: HomeLayout, monkeypatch: pytest.MonkeyPatch, manner: str, how: str
) -> None:
    monkeypatch.setenv("STAND_IN", manner)
    site = start_site(home, SETTINGS, module=HOST)
    view = stop_site(home, ask_to_stop(home), ask_timeout_s=0.3, terminate_timeout_s=0.5)
    assert (view.stopped, view.how, view.pid) == (True, how, site.pid)
    assert not site.is_alive
    assert read_site_file(home) is None


def test_another_process_under_the_recorded_id_is_left_alone(home: HomeLayout) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as other:
        mark = mark_process(other.pid)
        record = SiteFile(
            pid=mark.pid,
            create_time=mark.create_time - 100,
            address="http://127.0.0.1:1",
            ray_address="",
            dashboard="",
            miners=1,
            supervisors=1,
            started_at="",
        )
        write_site_file(home, record)
        assert not stop_site(home, ask_to_stop(home)).stopped
        assert mark.is_alive
        other.communicate(b"\n")


def test_only_one_command_at_a_time_starts_or_stops(home: HomeLayout) -> None:
    with site_lock(home):
        for act in (lambda: start_site(home, SETTINGS, module=HOST), lambda: stop_site(home, ask_to_stop(home))):
            with pytest.raises(ConflictError) as caught:
                act()
            assert caught.value.code == "busy"


def test_a_port_nobody_asked_for_gives_way() -> None:
    assert choose_port(0) == 0
    assert choose_port(None) in {8470, 0}


def _children() -> list[object]:
    import psutil

    return psutil.Process().children(recursive=True)
