"""Machines that come when miners need them and go when they do not: Ray's autoscaler, real sshd, real nodes."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cluster.config import HomeLayout, read_site_file
from cluster.launch.fleet import joined_workers
from cluster.launch.join import read_worker_file
from tests.kit.job_specs import small_job
from tests.kit.real_site import BEACON, RealSite, connect, run_pouw, wait_for
from tests.kit.ssh_hosts import SshHosts, missing, ssh_hosts

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]
FIRST, SPARE = "127.0.0.3", "127.0.0.4"
PORT = 2243
CLUSTER = """\
cluster_name: autoscaled
idle_timeout_minutes: 0.05
provider: {{type: local, head_ip: 127.0.0.2, worker_ips: [{first}, {spare}]}}
auth: {{ssh_user: {user}}}
metadata:
  pouw: {{miners: 1, min_workers: 1, worker_cpus: {places}, block_interval_s: 1, port: 0, beacon: "{beacon}",
         ssh_config: {config}, worker_command: {command}}}
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[SshHosts]:
    with ssh_hosts(tmp_path / "s", (FIRST, SPARE), PORT) as running:
        yield running


def test_a_machine_comes_for_miners_without_a_place_and_goes_with_them(hosts: SshHosts, tmp_path: Path) -> None:
    home, places = HomeLayout(root=tmp_path / "h"), psutil.cpu_count() or 1
    file = tmp_path / "cluster.yaml"
    file.write_text(
        CLUSTER.format(
            first=FIRST,
            spare=SPARE,
            user=psutil.Process().username(),
            places=places,
            beacon=BEACON,
            config=hosts.config,
            command=hosts.command,
        )
    )
    up = run_pouw(home, "up", str(file), "--json", timeout_s=280)
    assert up.returncode == 0, up.stdout + up.stderr
    site = RealSite(home=home, client=connect(home, {}))
    try:
        assert json.loads(up.stdout)["workers"] == [FIRST]
        assert joined_workers(home) == (FIRST,)
        beyond = site.pouw("scale", str(2 * places + 1), "--json")
        assert (beyond.returncode, json.loads(beyond.stdout)["code"]) == (1, "machines")
        kill_autoscaler(home)  # the host starts it again
        assert site.pouw("scale", str(places + 1)).returncode == 0
        wait_for(lambda: nodes_of(site), lambda found: SPARE in found, 120)
        wait_for(lambda: joined_workers(home), lambda joined: joined == (FIRST, SPARE), 30)
        job = site.run(small_job("mlp", rounds=40))
        assert (job.state, job.round) == ("completed", 40)
        assert site.pouw("scale", "1").returncode == 0
        wait_for(lambda: joined_workers(home), lambda joined: joined == (FIRST,), 120)
        wait_for(lambda: read_worker_file(HomeLayout(root=hosts.home(SPARE))), lambda left: left is None, 30)
        assert nodes_of(site) == {FIRST}
    finally:
        down = run_pouw(home, "down", "--json", timeout_s=200)
    assert [worker["address"] for worker in json.loads(down.stdout)["workers"]] == [FIRST]
    assert read_worker_file(HomeLayout(root=hosts.home(FIRST))) is None


def kill_autoscaler(home: HomeLayout) -> None:
    site = read_site_file(home)
    assert site is not None
    running = psutil.Process(site.pid).children(recursive=True)
    (autoscaler,) = [process for process in running if "--autoscaling-config" in " ".join(process.cmdline())]
    autoscaler.kill()


def nodes_of(site: RealSite) -> set[str]:
    """Addresses on which miners run."""
    return {miner.node for miner in site.client.miners() if miner.state in ("idle", "working")}
