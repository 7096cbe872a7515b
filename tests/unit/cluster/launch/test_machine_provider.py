"""What Ray's autoscaler sees of the machines, and what happens to them when it asks. `ssh` is the kit's script."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from ray.autoscaler.batching_node_provider import ScaleRequest

from cluster.config import HomeLayout, read_site_file, write_site_file
from cluster.control.placement import PLACE
from cluster.errors import NotFoundError
from cluster.launch import machine_provider
from cluster.launch.autoscaling import FIRST, HEAD, WORKER, autoscaler_config, choose_config
from cluster.launch.fleet import join_worker, joined_workers
from cluster.launch.machine_provider import JOINING, UP, MachineProvider
from cluster.launch.ssh import Machine
from cluster.settings import ScalingSettings, SiteSettings, WorkerHosts
from tests.kit.site_record import site_record
from tests.kit.ssh_script import scripted_ssh

HEAD_IP = "127.0.0.2"
CHAIN = "ab" * 32


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return scripted_ssh(tmp_path / "bin", monkeypatch)


def hosts(*addresses: str) -> WorkerHosts:
    return WorkerHosts(addresses=addresses, scaling=ScalingSettings(min_workers=1, worker_cpus=4))


def provider(home: HomeLayout, machines: WorkerHosts, *, is_ready: bool = True) -> MachineProvider:
    """As Ray's monitor makes it, for a site that is up."""
    home.create()
    if is_ready:
        write_site_file(home, site_record(1, chain_id=CHAIN))
    home.machines_file.write_bytes(msgspec.json.encode(machines))
    config = autoscaler_config(home, machines, HEAD_IP)["provider"]
    assert isinstance(config, dict)
    return MachineProvider(config, "pouw")


def states(seen: MachineProvider) -> dict[str, str]:
    return {address: data.status for address, data in seen.get_node_data().items() if data.kind == "worker"}


def ask(seen: MachineProvider, workers: int, *ending: str) -> None:
    wanted = {FIRST: 1, WORKER: workers}
    seen.submit_scale_request(ScaleRequest(desired_num_workers=wanted, workers_to_delete=set(ending)))


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def told(calls: Path, verb: str) -> list[str]:
    return [line for line in calls.read_text().splitlines() if f" {verb} " in line]


def up(home: HomeLayout, machines: WorkerHosts, *addresses: str) -> None:
    """As `pouw up` joins the first ones."""
    site = read_site_file(home)
    assert site is not None
    for address in addresses:
        join_worker(home, site, Machine(address=address, hosts=machines))


def test_the_configuration_has_the_machines_their_places_and_nothing_for_rays_own_ssh(home: HomeLayout) -> None:
    config = autoscaler_config(home, hosts("a", "b", "c"), HEAD_IP)
    places = {"node_config": {}, "resources": {"CPU": 4, PLACE: 4}}
    assert config["available_node_types"] == {
        HEAD: {"node_config": {}, "resources": {}, "min_workers": 0, "max_workers": 0},
        FIRST: {**places, "min_workers": 1, "max_workers": 1},
        WORKER: {**places, "min_workers": 0, "max_workers": 2},
    }
    assert config["worker_start_ray_commands"] == []


def test_the_first_machines_are_there_from_the_start_and_up_once_they_have_joined(
    home: HomeLayout, calls: Path
) -> None:
    machines = hosts("a", "b")
    seen = provider(home, machines)
    assert states(seen) == {"a": JOINING}
    up(home, machines, "a")
    assert states(seen) == {"a": UP}
    assert [data.type for data in seen.get_node_data().values()] == [HEAD, FIRST]
    (join,) = told(calls, "join")
    assert "--cpus 4" in join
    assert "--on-demand" not in join


def test_one_that_is_needed_joins_and_is_ended_when_it_is_not(home: HomeLayout, calls: Path) -> None:
    machines = hosts("a", "b", "c")
    seen = provider(home, machines)
    up(home, machines, "a")
    ask(seen, 1)
    assert states(seen) == {"a": UP, "b": JOINING}
    ask(seen, 1)  # again before it has joined: nobody joins twice
    until(lambda: states(seen) == {"a": UP, "b": UP})
    assert [line.split()[0] for line in told(calls, "join")] == ["a", "b"]
    assert told(calls, "join")[1].endswith("--cpus 4 --on-demand --json")
    ask(seen, 0, "b")
    assert states(seen) == {"a": UP}
    until(lambda: joined_workers(home) == ("a",))
    assert told(calls, "down") == [f"b pouw down --node --chain {CHAIN} --json"]


def test_after_one_that_does_not_fit_or_answer_another_is_taken(home: HomeLayout, calls: Path) -> None:
    seen = provider(home, hosts("a", "full", "down", "d"))
    for name in ("full", "down"):
        ask(seen, 1)
        until(lambda: states(seen) == {"a": JOINING})
        assert name in calls.read_text()
    ask(seen, 1)
    until(lambda: joined_workers(home) == ("d",))


def test_one_that_cannot_be_told_to_leave_stays_one_of_ours(home: HomeLayout, calls: Path) -> None:
    machines = hosts("a", "deaf")
    seen = provider(home, machines)
    up(home, machines, "deaf")
    seen = provider(home, machines)
    ask(seen, 0, "deaf")
    until(lambda: "deaf" in states(seen))
    assert joined_workers(home) == ("deaf",)
    assert len(told(calls, "down")) == 1


def test_before_the_site_is_ready_nobody_joins_and_later_it_is_tried_again(home: HomeLayout, calls: Path) -> None:
    seen = provider(home, hosts("a", "b"), is_ready=False)
    ask(seen, 1)
    until(lambda: states(seen) == {"a": JOINING})
    assert not calls.exists()
    provider(home, hosts("a", "b"))
    ask(seen, 1)
    until(lambda: joined_workers(home) == ("b",))


def test_a_first_machine_that_did_not_join_is_joined_from_here(
    home: HomeLayout, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_provider, "_FIRST_S", -1.0)
    seen = provider(home, hosts("a", "b"))
    assert states(seen) == {}
    ask(seen, 0)
    until(lambda: states(seen) == {"a": UP})
    assert "--on-demand" not in told(calls, "join")[0]


def test_a_monitor_that_is_started_again_knows_who_has_joined(home: HomeLayout, calls: Path) -> None:
    machines = hosts("a", "b", "c")
    provider(home, machines)
    up(home, machines, "c")
    assert states(provider(home, machines)) == {"a": JOINING, "c": UP}
    assert len(told(calls, "join")) == 1


def test_rays_autoscaler_reads_our_file_or_the_one_that_is_named(home: HomeLayout, tmp_path: Path) -> None:
    assert choose_config(home, SiteSettings(), tmp_path) is None
    provider(home, hosts("a", "b"))
    ours = choose_config(home, SiteSettings(), tmp_path)
    assert ours is not None
    assert msgspec.json.decode(ours.read_bytes())["max_workers"] == 2
    named = tmp_path / "bootstrap.yaml"
    with pytest.raises(NotFoundError, match="no autoscaler_config"):
        choose_config(home, SiteSettings(autoscaler_config=str(named)), tmp_path)
    named.touch()
    assert choose_config(home, SiteSettings(autoscaler_config=str(named)), tmp_path) == named
