"""Weights stay available on real machines: providers are killed, lose their files, keep damaged bytes, and vanish."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from ray.train import Checkpoint
from safetensors.numpy import load_file

from cluster.actors.names import provider_name
from cluster.client.download import WEIGHTS_FILE
from cluster.config import HomeLayout
from cluster.launch.join import NodeOptions, join_site, leave_site, load_ray_token, read_worker_file
from cluster.node.audit import verify_chain
from cluster.views import DealView, JobView
from consensus.ledger.state import LedgerState
from consensus.primitives.digest import bulk_digest
from storage.chain_store import ChainStore
from storage.lmdb_kv import LmdbStore
from tests.kit.job_specs import small_job
from tests.kit.ledger import held
from tests.kit.real_site import RealSite, running_site, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HEAD = "127.0.0.2"
JOINED = ("127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7")
PAGE = 4096
Homes = dict[str, HomeLayout]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealSite, Homes]]:
    """A site of six machines, each with a storage provider. Seals are quick here, so that a test does not wait."""
    folder = tmp_path_factory.mktemp("storage")
    homes = {address: HomeLayout(root=folder / address) for address in JOINED}
    options = {"storage_gb": 0.05, "challenge_interval": 3, "seal_floor_mb": 0}
    with running_site(folder / "h", miners=1, **options) as site:
        try:
            with ThreadPoolExecutor(len(JOINED)) as joining:
                list(joining.map(lambda address: join(site, homes[address], address), JOINED))
            wait_for(site.client.providers, lambda found: len(found) == 1 + len(JOINED), 60)
            yield site, {HEAD: site.home, **homes}
        finally:
            for home in homes.values():
                leave_site(home)


def test_a_dataset_is_kept_for_whoever_pays_and_comes_back_from_its_providers(
    nodes: tuple[RealSite, Homes], tmp_path: Path
) -> None:
    site, _ = nodes
    job = site.run(small_job("mlp", rounds=2))
    terms = ("--replicas", "2", "--reward", "400", "--proofs", "1000", "--collateral", "0")
    kept = site.pouw("storage", "keep", job.job_id, "--what", "dataset", *terms, "--json", timeout_s=60)
    assert kept.returncode == 0, kept.stderr
    views = json.loads(kept.stdout)
    assert [view["kind"] for view in views] == ["manifest", "dataset", "dataset", "dataset"]
    ids = {view["deal_id"] for view in views}
    wait_for(
        lambda: [deal for deal in site.client.deals() if deal.deal_id in ids],
        lambda deals: len(deals) == 4 and all(deal.active == 2 for deal in deals),
        90,
    )
    for view in views:
        target = tmp_path / view["root"]
        got = site.pouw("storage", "fetch", view["root"], str(target), timeout_s=60)
        assert got.returncode == 0, got.stderr
        assert bulk_digest(target.read_bytes()).hex() == view["root"]
    again = site.pouw("storage", "keep", job.job_id, "--what", "dataset", *terms)
    assert "there are deals about all of this already" in again.stderr


def test_three_copies_outlive_a_kill_lost_files_and_damage(nodes: tuple[RealSite, Homes], tmp_path: Path) -> None:
    site, homes = nodes
    storage = {"replicas": 3, "proofs": 10_000, "reward": 30_000, "collateral": 2}
    job = site.run(small_job("mlp", rounds=8, storage=storage))
    deal = placed(site, job)
    killed, lost, damaged = (piece.node for piece in deal.pieces)
    assert len({killed, lost, damaged}) == 3

    pid = provider_pid(site, lost)
    (replica_file(homes, lost)).unlink()
    os.kill(pid, signal.SIGKILL)
    damage(replica_file(homes, damaged))
    os.kill(provider_pid(site, killed), signal.SIGKILL)

    fetched = site.pouw("fetch", job.job_id, "-o", str(tmp_path / "w.safetensors"), "--json")
    assert fetched.returncode == 0, fetched.stderr
    assert json.loads(fetched.stdout)["digest"] == job.state_digest

    def is_repaired(found: DealView) -> bool:
        slashed = [each for each in site.client.providers() if float(each.slashed) > 0]
        return found.active == 3 and {lost, damaged} <= {each.node for each in slashed}

    repaired = wait_for(lambda: deal_of(site, job), is_repaired, 120)
    assert len({piece.node for piece in repaired.pieces}) == 3
    records = {each.node: each for each in site.client.providers()}
    assert records[killed].proofs > 0
    assert float(records[killed].paid) > 0
    assert float(records[killed].slashed) == 0
    assert records[lost].strikes > 2
    assert all(probe.served for probe in site.client.probe(repaired.deal_id))
    again = site.pouw("fetch", job.job_id, "-o", str(tmp_path / "again"), "--as", "checkpoint")
    assert again.returncode == 0, again.stderr
    with Checkpoint.from_directory(str(tmp_path / "again")).as_directory() as folder:
        weights, first = load_file(Path(folder, WEIGHTS_FILE)), load_file(tmp_path / "w.safetensors")
        assert {name: array.tobytes() for name, array in weights.items()} == {
            name: array.tobytes() for name, array in first.items()
        }


def test_four_and_two_pieces_stand_the_loss_of_two_and_come_back_after_three(
    nodes: tuple[RealSite, Homes], tmp_path: Path
) -> None:
    site, homes = nodes
    storage = {"data": 4, "parity": 2, "proofs": 10_000, "reward": 60_000}
    job = site.run(small_job("mlp", rounds=9, storage=storage))  # other weights than those that are kept in copies
    deal = placed(site, job)
    assert len({piece.node for piece in deal.pieces}) == 6

    for address in JOINED[:2]:
        kill_machine(homes[address])
    assert fetch(site, job, tmp_path / "two")["digest"] == job.state_digest

    kill_machine(homes[JOINED[2]])
    failed = site.pouw("fetch", job.job_id, "-o", str(tmp_path / "three"), timeout_s=180)
    assert failed.returncode != 0
    assert "4 pieces are needed" in failed.stderr
    assert any(provider_name(address) in failed.stderr for address in JOINED[:3]), failed.stderr
    assert not (tmp_path / "three").exists()

    join(site, homes[JOINED[0]], JOINED[0])
    wait_for(lambda: deal_of(site, job), lambda found: readable(site, found) >= 4, 120)
    assert fetch(site, job, tmp_path / "back")["digest"] == job.state_digest


def test_the_chain_is_valid_and_credits_add_up(nodes: tuple[RealSite, Homes]) -> None:
    """What was slashed, paid and locked, after all of the above."""
    site, _ = nodes
    with closing(LmdbStore.open_read_only(site.home.chain)) as store:
        _, entries = ChainStore(store).load_ledger()
        state = LedgerState.from_entries(entries)
    assert held(state) == state.totals.issued
    assert state.totals.treasury > 0
    assert verify_chain(site.home, 0.0, lambda _done, _total: None).valid


def placed(site: RealSite, job: JobView) -> DealView:
    """The job's deal once every piece is kept and was paid for."""
    assert job.state == "completed", job.reason
    return wait_for(
        lambda: deal_of(site, job),
        lambda deal: deal is not None and deal.active == len(deal.pieces) and float(deal.paid) > 0,
        90,
    )


def deal_of(site: RealSite, job: JobView) -> DealView:
    found: Callable[[DealView], bool] = lambda deal: deal.job_id == job.job_id  # noqa: E731
    return next(filter(found, site.client.deals()), None)  # type: ignore[return-value]


def fetch(site: RealSite, job: JobView, target: Path) -> dict[str, str]:
    fetched = site.pouw("fetch", job.job_id, "-o", str(target), "--json", timeout_s=180)
    assert fetched.returncode == 0, fetched.stderr
    view: dict[str, str] = json.loads(fetched.stdout)
    return view


def readable(site: RealSite, deal: DealView) -> int:
    """Pieces whose providers answer."""
    answering = {each.node for each in site.client.providers() if each.state == "keeps"}
    return sum(piece.state == "active" and piece.node in answering for piece in deal.pieces)


def provider_pid(site: RealSite, address: str) -> int:
    return next(p.pid for p in site.client.status().processes if p.role == "provider" and p.node == address)


def replica_file(homes: Homes, address: str) -> Path:
    return homes[address].replicas / provider_name(address) / "data.mdb"


def damage(path: Path) -> None:
    """Flip a bit in every page that looks like sealed bytes."""
    with path.open("r+b") as file:
        data = file.read()
        for start in range(0, len(data), PAGE):
            if len(set(data[start : start + PAGE])) > 240:
                file.seek(start + PAGE // 2)
                file.write(bytes([data[start + PAGE // 2] ^ 1]))


def kill_machine(home: HomeLayout) -> None:
    worker = read_worker_file(home)
    assert worker is not None
    first = psutil.Process(worker.pid)
    for process in [*first.children(recursive=True), first]:
        process.kill()
    leave_site(home)


def join(site: RealSite, home: HomeLayout, address: str) -> None:
    token = load_ray_token(site.home, {})
    join_site(home, site.ray_address, token, NodeOptions(node_ip=address, cpus=1), timeout_s=150)
