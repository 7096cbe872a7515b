"""A site on several machines: loopback addresses with a real sshd and a home each."""

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import pytest

from cluster.config import HomeLayout, SiteFile
from cluster.launch.certificates import Credentials, issue, tls_environment
from cluster.launch.join import read_worker_file
from cluster.launch.ray_environment import authentication
from tests.kit.job_specs import small_job
from tests.kit.real_site import BEACON, RealSite, connect, run_pouw, wait_for
from tests.kit.ssh_hosts import SshHosts, missing, ssh_hosts

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]
WORKERS = ("127.0.0.3", "127.0.0.4")
GUEST = "127.0.0.5"
PORT = 2242
TLS = bool(os.environ.get("POUW_TEST_TLS"))
"""Everything over TLS as well: takes longer."""
CLUSTER = """\
cluster_name: loopback
provider: {{type: local, head_ip: 127.0.0.2, worker_ips: [{workers}]}}
auth: {{ssh_user: {user}}}
metadata:
  pouw: {{miners: 3, tls: {tls}, block_interval_s: 1, port: 0, beacon: "{beacon}",
         ssh_config: {config}, worker_command: {command}}}
"""
ASK_WITHOUT_TOKEN = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_get(b"site-card", namespace=b"pouw")
"""
SUBSTITUTE_CARD = """
import sys
from ray._raylet import GcsClient
from cluster.launch.site_card import SiteCard
from consensus.primitives.encoding import decode, encode
from jobs.machine import MachineClass
client = GcsClient(address=sys.argv[1])
card = decode(client.internal_kv_get(b"site-card", namespace=b"pouw"), SiteCard)
values = {name: getattr(card.machine, name) for name in card.machine.__struct_fields__}
changed = MachineClass(**{**values, sys.argv[2]: sys.argv[3]})
other = SiteCard(chain_id=card.chain_id, pouw=card.pouw, ray=card.ray, machine=changed)
client.internal_kv_put(b"site-card", encode(other), True, namespace=b"pouw")
print(values[sys.argv[2]])
"""


@dataclass(frozen=True)
class Fleet:
    """A running site on three addresses."""

    site: RealSite
    hosts: SshHosts
    record: SiteFile

    @property
    def token(self) -> str:
        return self.site.home.ray_token.read_text().strip()

    def join(self, token: str, *options: str) -> tuple[int, dict[str, object]]:
        """`pouw join` of one more machine, by hand."""
        arguments = ("join", self.record.ray_address, "--node-ip", GUEST, "--token-stdin", "--json", *options)
        now = dt.datetime.now(dt.UTC)
        credentials = issue(self.site.home, GUEST, token, now) if TLS else Credentials(token=token)
        done = run_pouw(self.guest, *arguments, given=msgspec.json.encode(credentials).decode() + "\n")
        return done.returncode, json.loads(done.stdout)

    @property
    def guest(self) -> HomeLayout:
        return HomeLayout(root=self.hosts.home(GUEST))


def write_cluster_file(path: Path, hosts: SshHosts, workers: tuple[str, ...]) -> Path:
    path.write_text(
        CLUSTER.format(
            workers=", ".join(workers),
            tls="true" if TLS else "false",
            user=psutil.Process().username(),
            beacon=BEACON,
            config=hosts.config,
            command=hosts.command,
        )
    )
    return path


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    with ssh_hosts(tmp_path_factory.mktemp("ssh") / "s", WORKERS, PORT) as running:
        yield running


@pytest.fixture(scope="module")
def fleet(hosts: SshHosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = HomeLayout(root=tmp_path_factory.mktemp("head") / "h")
    file = write_cluster_file(hosts.folder / "cluster.yaml", hosts, WORKERS)
    up = run_pouw(home, "up", str(file), "--json", timeout_s=280)
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        assert json.loads(up.stdout)["workers"] == list(WORKERS)
        record = msgspec.json.decode(home.site_file.read_bytes(), type=SiteFile)
        yield Fleet(site=RealSite(home=home, client=connect(home, {})), hosts=hosts, record=record)
    finally:
        down = run_pouw(home, "down", "--json", timeout_s=200)
    assert down.returncode == 0, down.stdout
    assert [worker["pid"] is not None for worker in json.loads(down.stdout)["workers"]] == [True, True]
    assert not home.fleet_file.exists()
    for address in WORKERS:
        assert read_worker_file(HomeLayout(root=hosts.home(address))) is None


def test_miners_run_on_the_workers_and_finish_a_job(fleet: Fleet) -> None:
    site = fleet.site
    miners = wait_for(site.client.miners, lambda all_: sum(m.state == "idle" for m in all_) == 3, 120)
    assert {miner.node for miner in miners} == set(WORKERS)
    status = site.client.status()
    assert status.cluster.nodes == 3
    places = {(process.role, process.node) for process in status.processes}
    assert {("supervisor", "127.0.0.2"), ("verifier", "127.0.0.2"), ("gateway", "127.0.0.2")} <= places
    host = psutil.Process(fleet.record.pid)
    assert not [child for child in host.children(recursive=True) if "monitor" in " ".join(child.cmdline())]
    doctor = json.loads(site.pouw("doctor", "--json", timeout_s=200).stdout)
    checks = {check["name"]: check for check in doctor["checks"]}
    for address in ("127.0.0.2", *WORKERS):
        assert "equal the site's" in checks[f"node {address}"]["detail"]
        assert {f"node {address} clock", f"node {address} room"} <= checks.keys()
    job = site.run(small_job("mlp", rounds=40))
    assert (job.state, job.round) == ("completed", 40)
    for address in WORKERS:
        keys = HomeLayout(root=fleet.hosts.home(address)).site_keys
        assert list(keys.glob("miner-*.pem"))
    assert not list(site.home.site_keys.glob("miner-*.pem"))


def assert_nothing_joined(fleet: Fleet) -> None:
    assert read_worker_file(fleet.guest) is None
    assert not fleet.guest.worker_log.exists()
    assert fleet.site.client.status().cluster.nodes == 3


def test_a_wrong_token_or_chain_is_refused(fleet: Fleet) -> None:
    tls = tls_environment(fleet.site.home)
    command = [sys.executable, "-c", ASK_WITHOUT_TOKEN, fleet.record.ray_address]
    assert "AuthenticationError" in subprocess.run(command, env=tls, capture_output=True, text=True, check=False).stderr
    code, error = fleet.join("0" * 64)
    assert (code, error["code"]) == (5, "ray-token")
    code, error = fleet.join(fleet.token, "--chain", "ab" * 32)
    assert (code, error["code"]) == (1, "chain-id")
    assert "ab" * 32 in error["error"]
    assert fleet.record.chain_id in error["error"]
    assert_nothing_joined(fleet)


def substitute(fleet: Fleet, field: str, value: str) -> str:
    """Make the site's card name another value; returns the one it named."""
    command = [sys.executable, "-c", SUBSTITUTE_CARD, fleet.record.ray_address, field, value]
    done = subprocess.run(
        command,
        env={**authentication(fleet.token), **tls_environment(fleet.site.home)},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("field", "value", "code"), [("torch", "2.12.0+cpu", "version"), ("processor", "GenuineOther", "replay-class")]
)
def test_another_version_or_class_is_refused_with_both_values(fleet: Fleet, field: str, value: str, code: str) -> None:
    own = substitute(fleet, field, value)
    try:
        status, error = fleet.join(fleet.token)
    finally:
        assert substitute(fleet, field, own) == value
    assert (status, error["code"]) == (1, code)
    assert own in error["error"]
    assert value in error["error"]
    assert error["hint"]
    assert_nothing_joined(fleet)


def test_a_machine_joins_by_hand_and_leaves_alone(fleet: Fleet) -> None:
    code, view = fleet.join(fleet.token, "--chain", fleet.record.chain_id, "--cpus", "1")
    assert (code, view["chain_id"]) == (0, fleet.record.chain_id)
    nodes = lambda: fleet.site.client.status().cluster.nodes  # noqa: E731
    assert wait_for(nodes, lambda count: count == 4, 30) == 4
    lost = read_worker_file(fleet.guest)
    assert lost is not None
    assert lost.pid == view["pid"]
    first = psutil.Process(lost.pid)
    for process in [*first.children(recursive=True), first]:
        process.kill()
    wait_for(fleet.guest.worker_log.read_text, lambda text: "joined again" in text, 60)
    again = read_worker_file(fleet.guest)
    assert again is not None
    assert again.pid != lost.pid
    wait_for(nodes, lambda count: count == 4, 60)
    down = json.loads(run_pouw(fleet.guest, "down", "--json").stdout)
    assert (down["stopped"], down["worker_pid"]) == (False, again.pid)
    wait_for(nodes, lambda count: count == 3, 60)
    assert {miner.node for miner in fleet.site.client.miners()} == set(WORKERS)


def test_a_machine_that_cannot_be_reached_leaves_nothing_behind(hosts: SshHosts, tmp_path: Path) -> None:
    file = write_cluster_file(tmp_path / "cluster.yaml", hosts, (WORKERS[0], "127.0.0.77"))
    home = HomeLayout(root=tmp_path / "h")
    up = run_pouw(home, "up", str(file), "--json")
    error = json.loads(up.stdout)
    assert (up.returncode, error["code"]) == (3, "ssh")
    assert "127.0.0.77" in error["error"]
    assert not home.site_file.exists()
