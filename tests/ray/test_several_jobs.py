"""Two jobs of different value on one site: miners in proportion, results as each has alone."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kit.job_specs import small_job
from tests.kit.real_site import RealSite, running_site

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROUNDS = 200


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSite]:
    """A site with four miners and a fixed beacon."""
    with running_site(tmp_path_factory.mktemp("home") / "h", miners=4) as running:
        yield running


def by_job(site: RealSite) -> Counter[str | None]:
    return Counter(miner.job for miner in site.client.miners() if miner.state in ("idle", "working"))


def test_two_jobs_share_four_miners_by_value_and_come_to_what_they_come_to_alone(site: RealSite) -> None:
    spec = {"rich": small_job("mlp", rounds=ROUNDS, name="rich", reward=300)}
    spec["poor"] = small_job("mlp", rounds=ROUNDS, name="poor", reward=100, seed=5)
    alone = {name: site.run(job) for name, job in spec.items()}
    assert all(job.state == "completed" for job in alone.values())
    assert alone["rich"].state_digest != alone["poor"].state_digest

    rich, poor = (site.submit(spec[name]).job_id for name in ("rich", "poor"))
    seen: Counter[tuple[int, int]] = Counter()
    end = time.monotonic() + 90
    while (jobs := [site.job(job) for job in (rich, poor)]) and time.monotonic() < end:
        if any(job.state not in ("queued", "running") for job in jobs):
            break
        counts = by_job(site)
        seen[counts[rich], counts[poor]] += 1
        time.sleep(0.1)
    ended = [site.wait(job) for job in (rich, poor)]
    assert [job.state_digest for job in ended] == [alone["rich"].state_digest, alone["poor"].state_digest]
    shared = Counter({pair: times for pair, times in seen.items() if all(pair)})
    assert shared.most_common(1)[0][0] == (3, 1), seen
