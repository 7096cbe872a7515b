"""A head and workers come up together or not at all; at the end only those that joined are ended.

The head is the stand-in of the kit; `ssh` is a script in a folder of its own, which notes what it was told.
"""

from pathlib import Path

import msgspec
import pytest

from cluster.config import HomeLayout, read_site_file
from cluster.errors import ClusterError, ConflictError, UnreachableError
from cluster.launch import fleet, up
from cluster.launch.fleet import start_fleet, stop_fleet
from cluster.settings import SiteSettings, SshSettings, WorkerHosts
from tests.kit.ssh_script import scripted_ssh

SETTINGS = SiteSettings(port=0)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fleet, "start_site", lambda *given, **named: up.start_site(*given, module=HOST, **named))
    return scripted_ssh(tmp_path / "bin", monkeypatch)


HOST = "tests.kit.stand_in_host"


def hosts(*addresses: str) -> WorkerHosts:
    return WorkerHosts(addresses=addresses, ssh_user="me", ssh=SshSettings(worker_command="/opt/pouw"))


def insist(_site: object) -> None:
    raise UnreachableError("to be ended by signal")


def test_all_join_with_the_token_on_standard_input_and_all_leave(home: HomeLayout, calls: Path) -> None:
    start_fleet(home, SETTINGS, hosts("a", "b"), insist, None)
    try:
        lines = calls.read_text().splitlines()
        assert sorted(line.split()[0] for line in lines if " join " in line) == ["a", "b"]
        token = home.ray_token.read_text().strip()
        assert token not in calls.read_text()
        secrets = calls.with_name("secrets").read_text().splitlines()
        assert [msgspec.json.decode(line)["token"] for line in secrets] == [token, token]
    finally:
        view = stop_fleet(home, insist)
    assert view.stopped
    assert [(worker.address, worker.pid) for worker in view.workers] == [("a", 7), ("b", 7)]
    assert not home.fleet_file.exists()


@pytest.mark.parametrize(("bad", "code"), [("down", "ssh"), ("none", "no-pouw")])
def test_a_machine_that_cannot_be_used_is_found_before_anything_starts(
    home: HomeLayout, calls: Path, bad: str, code: str
) -> None:
    with pytest.raises(ClusterError, match=bad) as caught:
        start_fleet(home, SETTINGS, hosts("a", bad), insist, None)
    assert caught.value.code == code
    assert caught.value.hint
    assert " join " not in calls.read_text()
    assert read_site_file(home) is None


def test_one_that_does_not_fit_ends_the_head_and_those_that_joined_and_no_other(home: HomeLayout, calls: Path) -> None:
    with pytest.raises(ClusterError, match="full: too little disk") as caught:
        start_fleet(home, SETTINGS, hosts("a", "full"), insist, None)
    assert (caught.value.code, caught.value.hint) == ("disk", "make room")
    assert [line for line in calls.read_text().splitlines() if "down" in line] == ["a /opt/pouw down --node --json"]
    assert read_site_file(home) is None
    assert not home.fleet_file.exists()


def test_up_twice_leaves_the_workers_of_the_running_site_alone(home: HomeLayout, calls: Path) -> None:
    start_fleet(home, SETTINGS, hosts("a"), insist, None)
    try:
        with pytest.raises(ConflictError):
            start_fleet(home, SETTINGS, hosts("a"), insist, None)
        assert "down" not in calls.read_text()
    finally:
        stop_fleet(home, insist)
