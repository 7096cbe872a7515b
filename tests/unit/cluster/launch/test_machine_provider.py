"""What Ray's autoscaler sees of the machines, and what happens to them when it asks. `ssh` is the kit's script."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from ray.autoscaler.batching_node_provider import ScaleRequest

from cluster.config import HomeLayout, SiteFile, mark_process, write_site_file
from cluster.control.placement import PLACE
from cluster.errors import NotFoundError
from cluster.launch.autoscaling import HEAD, WORKER, autoscaler_config, choose_config
from cluster.launch.fleet import joined_workers, note_joined
from cluster.launch.machine_provider import JOINING, UP, MachineProvider
from cluster.launch.ssh import Machine
from cluster.settings import ScalingSettings, SiteSettings, WorkerHosts
from tests.kit.ssh_script import scripted_ssh

HEAD_IP = "127.0.0.2"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return scripted_ssh(tmp_path / "bin", monkeypatch)


def hosts(*addresses: str) -> WorkerHosts:
    return WorkerHosts(addresses=addresses, scaling=ScalingSettings(min_workers=1, worker_cpus=4))


def provider(home: HomeLayout, machines: WorkerHosts, *, is_ready: bool = True) -> MachineProvider:
    """As Ray's monitor makes it, for a site that is up."""
    home.create()
    if is_ready:
        mark = mark_process(1)
        write_site_file(
            home,
            SiteFile(
                pid=mark.pid,
                create_time=mark.create_time,
                address="http://127.0.0.1:1",
                ray_address="127.0.0.2:6379",
                dashboard="",
                miners=1,
                supervisors=1,
                started_at=datetime.now(UTC).isoformat(),
                ready=True,
                chain_id="ab" * 32,
            ),
        )
    home.machines_file.write_bytes(msgspec.json.encode(machines))
    config = autoscaler_config(home, machines, HEAD_IP)["provider"]
    assert isinstance(config, dict)
    return MachineProvider(config, "pouw")


def states(seen: MachineProvider) -> dict[str, str]:
    return {address: data.status for address, data in seen.get_node_data().items() if data.kind == "worker"}


def ask(seen: MachineProvider, workers: int, *ending: str) -> None:
    seen.submit_scale_request(ScaleRequest(desired_num_workers={WORKER: workers}, workers_to_delete=set(ending)))


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_the_configuration_has_the_machines_their_places_and_nothing_for_rays_own_ssh(home: HomeLayout) -> None:
    config = autoscaler_config(home, hosts("a", "b", "c"), HEAD_IP)
    types = config["available_node_types"]
    assert isinstance(types, dict)
    assert types[WORKER] == {
        "node_config": {},
        "resources": {"CPU": 4, PLACE: 4},
        "min_workers": 1,
        "max_workers": 3,
    }
    assert types[HEAD] == {"node_config": {}, "resources": {}, "min_workers": 0, "max_workers": 0}
    assert config["worker_start_ray_commands"] == []


def test_the_first_machines_are_there_from_the_start_and_up_once_they_have_joined(home: HomeLayout) -> None:
    machines = hosts("a", "b")
    seen = provider(home, machines)
    assert states(seen) == {"a": JOINING}
    note_joined(home, Machine(address="a", hosts=machines))
    assert states(seen) == {"a": UP}
    assert seen.get_node_data()[HEAD_IP].kind == "head"


def test_one_that_is_needed_joins_and_is_ended_when_it_is_not(home: HomeLayout, calls: Path) -> None:
    machines = hosts("a", "b", "c")
    seen = provider(home, machines)
    note_joined(home, Machine(address="a", hosts=machines))
    ask(seen, 2)
    assert states(seen) == {"a": UP, "b": JOINING}
    ask(seen, 2)  # again before it has joined: nobody joins twice
    until(lambda: joined_workers(home) == ("a", "b"))
    assert states(seen) == {"a": UP, "b": UP}
    joins = [line for line in calls.read_text().splitlines() if " join " in line]
    assert [line.split()[0] for line in joins] == ["b"]
    assert joins[0].endswith("--on-demand --json")
    ask(seen, 1, "b")
    assert states(seen) == {"a": UP}
    until(lambda: joined_workers(home) == ("a",))
    assert [line for line in calls.read_text().splitlines() if " down " in line] == ["b pouw down --node --json"]


def test_after_one_that_does_not_fit_another_is_taken(home: HomeLayout, calls: Path) -> None:
    seen = provider(home, hosts("a", "full", "c"))
    ask(seen, 2)
    until(lambda: states(seen) == {"a": JOINING})
    ask(seen, 2)
    until(lambda: joined_workers(home) == ("c",))
    assert "full" in calls.read_text()


def test_before_the_site_is_ready_nobody_joins_and_later_it_is_tried_again(home: HomeLayout, calls: Path) -> None:
    seen = provider(home, hosts("a", "b"), is_ready=False)
    ask(seen, 2)
    until(lambda: states(seen) == {"a": JOINING})
    assert not calls.exists()
    provider(home, hosts("a", "b"))
    ask(seen, 2)
    until(lambda: joined_workers(home) == ("b",))


def test_a_monitor_that_is_started_again_knows_who_has_joined(home: HomeLayout) -> None:
    machines = hosts("a", "b", "c")
    provider(home, machines)
    note_joined(home, Machine(address="c", hosts=machines))
    assert states(provider(home, machines)) == {"a": JOINING, "c": UP}


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
