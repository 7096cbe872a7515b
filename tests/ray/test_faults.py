"""Real faults on a site of three nodes: the job goes on by itself and comes to the bits of an undisturbed run."""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from cluster.config import HomeLayout
from cluster.launch.join import NodeOptions, join_site, leave_site, load_ray_token, read_worker_file
from tests.kit.job_alone import digest_alone
from tests.kit.job_specs import small_job
from tests.kit.real_site import RealSite, running_site, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NODES = ("127.0.0.3", "127.0.0.4")
ROUNDS = 1200
"""A job of half a minute and more, so that there is always something to disturb."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealSite, dict[str, HomeLayout]]]:
    """A site whose miners run on two nodes that joined it."""
    folder = tmp_path_factory.mktemp("faults")
    joined = {address: HomeLayout(root=folder / address) for address in NODES}
    with running_site(folder / "h", miners=2, head_miners="never") as site:
        try:
            for address, home in joined.items():
                token = load_ray_token(site.home, {})
                join_site(home, site.ray_address, token, NodeOptions(node_ip=address, cpus=2), timeout_s=150)
            site.scale(2)
            yield site, joined
        finally:
            for home in joined.values():
                leave_site(home)


def test_faults_change_nothing(nodes: tuple[RealSite, dict[str, HomeLayout]]) -> None:
    """A frozen miner, a killed coordinator and a lost node, one after the other, in one job."""
    site, homes = nodes
    spec = small_job("mlp", rounds=ROUNDS)
    job = site.submit(spec).job_id
    site.wait_for_round(job, 10)

    frozen = site.client.miners()[0]
    os.kill(frozen.pid, signal.SIGSTOP)
    goes_on(site, job)

    site.kill("coordinator")
    goes_on(site, job)

    lost = site.client.miners()[-1].node
    worker = read_worker_file(homes[lost])
    assert worker is not None
    first = psutil.Process(worker.pid)
    for process in [*first.children(recursive=True), first]:
        process.kill()
    goes_on(site, job)

    ended = site.wait(job, 180)
    assert (ended.state, ended.state_digest) == ("completed", digest_alone(spec))
    wait_for(lambda: psutil.pid_exists(frozen.pid), lambda is_there: not is_there, 60)


def test_a_frozen_gateway_is_replaced_and_keeps_what_it_was_told(nodes: tuple[RealSite, dict[str, HomeLayout]]) -> None:
    site, _ = nodes
    site.client.scale(1)
    pid = site.pid_of("gateway")
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: psutil.pid_exists(pid), lambda is_there: not is_there, 60)
    assert site.wait_until_it_answers(60).cluster.supervisors == 1
    assert site.pid_of("gateway") != pid
    assert site.client.scale(1).desired == 1


def goes_on(site: RealSite, job: str) -> None:
    reached = site.job(job).round
    site.wait_for_round(job, reached + 5, 90)
