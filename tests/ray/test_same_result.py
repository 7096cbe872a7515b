"""Invariant 1 on real actors: whatever miners come, go or die, the same job gives the same bits."""

import os
import signal
from pathlib import Path

import pytest

from cluster.views import JobView, LogQuery
from tests.kit.job_specs import small_job
from tests.kit.real_site import RealSite, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

CASES = [("wide", 1), ("wide", 8), ("convnet", 1), ("convnet", 8), ("gpt", 1), ("gpt", 8)]


def run_on(site: RealSite, miners: int, model: str, local_steps: int) -> JobView:
    site.scale(miners)
    job = site.run(small_job(model, local_steps=local_steps))
    assert job.state == "completed", job.reason
    assert job.round == job.rounds_settled == 30
    return job


@pytest.fixture(scope="module")
def alone(site: RealSite) -> dict[tuple[str, int], str]:
    """The digests that one undisturbed miner comes to."""
    digests = {case: run_on(site, 1, *case).state_digest for case in CASES}
    assert len(set(digests.values())) == len(CASES)
    return {case: digest for case, digest in digests.items() if digest is not None}


@pytest.mark.parametrize(("model", "local_steps"), CASES)
@pytest.mark.parametrize("miners", [2, 4])
def test_more_miners_change_nothing(
    site: RealSite, alone: dict[tuple[str, int], str], miners: int, model: str, local_steps: int
) -> None:
    assert run_on(site, miners, model, local_steps).state_digest == alone[model, local_steps]


def test_updates_of_the_coordinators_machine_go_through_shared_memory(site: RealSite) -> None:
    site.scale(2)
    job = site.submit(small_job("wide", rounds=300))
    site.wait_for_round(job.job_id, 20)
    for miner in site.client.miners():
        found = [str(path.readlink()) for path in Path(f"/proc/{miner.pid}/fd").iterdir() if path.is_symlink()]
        assert any(link.startswith("/memfd:pouw-update") for link in found), found
    assert site.wait(job.job_id).state == "completed"
    lines = site.client.logs(LogQuery(job=job.job_id, role="coordinator"))
    assert sum("hands over updates in memory" in line.message for line in lines) == 2
    assert not any("could not run" in line.message for line in lines)


@pytest.mark.parametrize(("model", "local_steps"), CASES)
def test_a_killed_miner_changes_nothing(
    site: RealSite, alone: dict[tuple[str, int], str], model: str, local_steps: int
) -> None:
    site.scale(2)
    job = site.submit(small_job(model, local_steps=local_steps))
    site.wait_for_round(job.job_id, 5)
    victim = site.client.miners()[0]
    os.kill(victim.pid, signal.SIGKILL)
    ended = site.wait(job.job_id)
    assert (ended.state, ended.state_digest) == ("completed", alone[model, local_steps])
    wait_for(site.client.miners, lambda miners: victim.pid not in {miner.pid for miner in miners}, 30)
    site.scale(2)


@pytest.mark.parametrize(("model", "local_steps"), CASES)
def test_scaling_up_and_down_changes_nothing(
    site: RealSite, alone: dict[tuple[str, int], str], model: str, local_steps: int
) -> None:
    site.scale(1)
    job = site.submit(small_job(model, local_steps=local_steps))
    site.wait_for_round(job.job_id, 3)
    site.client.scale(4)
    site.wait_for_round(job.job_id, 15)
    site.client.scale(2)
    ended = site.wait(job.job_id)
    assert (ended.state, ended.state_digest) == ("completed", alone[model, local_steps])
