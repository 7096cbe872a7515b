"""Several jobs on one site: miners in proportion to value, results as alone, and what the operator sees of it."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from cluster.metrics import CATALOGUE, HEARTBEATS_MISSED, STALL_SECONDS, job_label
from cluster.views import LogQuery
from tests.kit.job_alone import digest_alone
from tests.kit.job_specs import small_job
from tests.kit.real_site import RealSite, running_site, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 300
PATIENT_S = 240.0
COUNTED = ("pouw_rounds_total", "pouw_slots_total", "pouw_retained_bytes")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSite]:
    """A site with four miners and a fixed beacon."""
    with running_site(tmp_path_factory.mktemp("home") / "h", miners=4) as running:
        yield running


def miners_by_job(site: RealSite) -> Counter[str | None]:
    return Counter(miner.job for miner in site.client.miners() if miner.state in ("idle", "working"))


def test_two_jobs_share_four_miners_by_value_and_come_to_what_they_come_to_alone(site: RealSite) -> None:
    rich = small_job("mlp", rounds=ROUNDS, name="rich", reward=300)
    poor = small_job("mlp", rounds=ROUNDS, name="poor", reward=100, seed=5)
    jobs = [site.submit(spec).job_id for spec in (rich, poor)]
    seen: Counter[tuple[int, ...]] = Counter()
    end = time.monotonic() + PATIENT_S
    while all(site.job(job).state in ("queued", "running") for job in jobs) and time.monotonic() < end:
        counts = miners_by_job(site)
        seen[tuple(counts[job] for job in jobs)] += 1
        time.sleep(0.1)
    shared = Counter({pair: times for pair, times in seen.items() if all(pair)})
    assert shared.most_common(1)[0][0] == (3, 1), seen
    ended = [site.wait(job, PATIENT_S) for job in jobs]
    assert [job.state for job in ended] == ["completed", "completed"]
    assert [job.state_digest for job in ended] == [digest_alone(rich), digest_alone(poor)]


def load_metrics(address: str) -> list[str]:
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - the site says http
        return [line for line in answer.read().decode().splitlines() if "ray_pouw_" in line]


def check_metrics(site: RealSite, job_id: str) -> None:
    """Prometheus reads the site's metrics where `pouw status` says; they are those of the catalogue."""
    (address,) = json.loads(site.pouw("status", "--json").stdout)["metrics"]
    rare = {STALL_SECONDS.exported, HEARTBEATS_MISSED.exported}
    expected = {metric.exported for metric in CATALOGUE} - rare
    typed: Callable[[list[str]], dict[str, str]] = lambda lines: {  # noqa: E731
        line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE")
    }

    def value(lines: list[str], name: str) -> float:
        of_job = [line for line in lines if f'job="{job_label(job_id)}"' in line]
        return sum(float(line.split()[-1]) for line in of_job if line.startswith(f"ray_{name}{{"))

    lines = wait_for(
        lambda: load_metrics(address),
        lambda lines: expected <= typed(lines).keys() and all(value(lines, name) > 0 for name in COUNTED),
        60,
    )
    assert typed(lines).items() <= {metric.exported: metric.kind.value for metric in CATALOGUE}.items()
    assert value(lines, "pouw_slots_total") >= 4 * value(lines, "pouw_rounds_total")


def test_what_waits_says_why_and_wrong_scaling_changes_nothing(site: RealSite) -> None:
    first = site.submit(small_job("mlp", rounds=100_000, name="first", reward=40, miners={"min": 3}))
    site.wait_for_round(first.job_id, 5, PATIENT_S)
    second = site.submit(small_job("mlp", name="second", reward=9, miners={"min": 2}))
    large = site.submit(small_job("mlp", name="large", miners={"min": 9}))
    reasons = wait_for(
        lambda: {job.name: job.reason for job in site.client.status().jobs},
        lambda found: bool(found["second"] and found["large"]),
        30,
    )
    assert "number 1 of 1 in the queue" in reasons["second"]
    assert "needs 2 miners, 1 of 4 are not promised to first (3)" in reasons["second"]
    assert reasons["large"] == "needs 9 miners, the site has 4: start more with 'pouw scale 9'"

    keys = {miner.name: miner.miner for miner in site.client.miners()}
    for wrong, code in (("0", 2), ("-3", 2), ("many", 2), ("4000", 1)):
        refused = site.pouw("scale", wrong, "--json")
        assert refused.returncode == code, refused.stdout
        assert json.loads(refused.stdout)["hint"]
    assert {miner.name: miner.miner for miner in site.client.miners()} == keys

    (line,) = site.client.logs(LogQuery(job=first.job_id, role="coordinator", round=0))
    assert line.message.startswith("running")
    check_metrics(site, first.job_id)
    site.scale(2, PATIENT_S)
    site.scale(4, PATIENT_S)
    assert {miner.name: miner.miner for miner in site.client.miners()} == keys
    unpaid = wait_for(site.client.miners, lambda miners: any(miner.slots_unsettled for miner in miners), 60)
    assert all(miner.unpaid.startswith("first: ") for miner in unpaid if miner.slots_unsettled)
    for job in (second, large, first):
        assert site.pouw("cancel", job.job_id).returncode == 0
