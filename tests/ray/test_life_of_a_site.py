"""What a user sees on a real site: queue, cancel, refund, audits, restarts, and errors that change nothing."""

import json
import os
import signal
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from cluster.config import HomeLayout, SiteFile
from cluster.errors import ConflictError
from cluster.launch.up import StartError, start_site
from cluster.settings import SiteSettings
from storage.lmdb_kv import LmdbStore
from tests.kit.job_specs import small_job
from tests.kit.real_site import RealSite, run_pouw, running_site, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def balance(site: RealSite) -> Decimal:
    wallet = json.loads(site.pouw("wallet", "show", "--json").stdout)
    return Decimal(wallet["balance"] if "balance" in wallet else wallet[0]["balance"])


def test_jobs_wait_for_each_other_and_cancel_refunds(site: RealSite) -> None:
    before = balance(site)
    first = site.submit(small_job("mlp", rounds=5000, name="long", reward=100, miners={"min": 2}))
    site.wait_for_round(first.job_id, 1)
    second = site.submit(small_job("mlp", name="queued", reward=7))
    assert site.job(second.job_id).state == "queued"
    words = wait_for(lambda: site.job(second.job_id).reason, bool, 30)
    assert words.endswith("needs 1 miner, 0 of 2 are not promised to long (2)")
    assert balance(site) == before - 107
    assert site.pouw("cancel", second.job_id).returncode == 0
    assert site.wait(second.job_id).state == "cancelled"
    site.wait_for_round(first.job_id, 20)
    early = site.pouw("fetch", first.job_id, "-o", "never.safetensors")
    assert early.returncode == 1
    assert not Path("never.safetensors").exists()
    assert site.pouw("cancel", first.job_id).returncode == 0
    ended = site.wait(first.job_id)
    assert ended.state == "cancelled"
    assert ended.rounds_settled == ended.round
    paid = Decimal(100) / (5000 * 4) * ended.rounds_settled * 4
    assert balance(site) == before - paid


def test_audit_and_verify_repeat_offline_what_was_recorded(site: RealSite) -> None:
    job = site.run(small_job("mlp"))
    audit = json.loads(site.pouw("audit", job.job_id, "--sample", "0.5", "--json").stdout)
    assert audit["sampled"] >= 40
    assert (audit["match"], audit["mismatch"], audit["inconclusive"]) == (audit["sampled"], 0, 0)
    verified = json.loads(site.pouw("chain", "verify", "--replay", "0.2", "--json").stdout)
    assert verified["valid"]
    assert verified["slots_replayed"] > 0
    assert verified["height"] == verified["blocks_checked"]


def test_a_killed_supervisor_forgets_nothing(site: RealSite) -> None:
    undisturbed = site.run(small_job("mlp", rounds=200))
    job = site.submit(small_job("mlp", rounds=200))
    site.wait_for_round(job.job_id, 20)
    height = site.client.status().chain.height
    pid = site.kill("supervisor")
    ended = site.wait(job.job_id)
    assert (ended.state, ended.state_digest) == ("completed", undisturbed.state_digest)
    assert site.client.status().chain.height > height
    assert site.pid_of("supervisor") != pid
    assert json.loads(site.pouw("chain", "verify", "--json").stdout)["valid"]


def test_a_killed_coordinator_takes_the_job_up_again(site: RealSite) -> None:
    undisturbed = site.run(small_job("convnet", rounds=60))
    job = site.submit(small_job("convnet", rounds=60))
    site.wait_for_round(job.job_id, 15)
    site.kill("coordinator")
    ended = site.wait(job.job_id)
    assert (ended.state, ended.state_digest) == ("completed", undisturbed.state_digest)


def test_a_killed_verifier_is_replaced(site: RealSite) -> None:
    job = site.submit(small_job("mlp", rounds=100))
    site.wait_for_round(job.job_id, 10)
    site.kill("verifier")
    assert site.wait(job.job_id).state == "completed"


def test_a_diverging_job_fails_with_its_reason_and_is_refunded(site: RealSite) -> None:
    before = balance(site)
    train = {"loss": "cross_entropy", "batch_size": 64, "slots": 4, "rounds": 50, "eval_every": 50}
    train["optimizer"] = {"name": "sgd", "lr": 1e30}
    ended = site.run(small_job("mlp", train=train, name="diverges"))
    assert ended.state == "failed"
    assert "learning rate" in ended.reason
    assert balance(site) >= before - Decimal(12)
    assert balance(site) == before - Decimal(12) / (50 * 4) * ended.rounds_settled * 4


def test_up_twice_and_a_taken_port_are_refused(site: RealSite, tmp_path: Path) -> None:
    again = site.pouw("up", "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["code"] == "up"
    port = int(site.client.status().address.rsplit(":", 1)[1])
    with pytest.raises((ConflictError, StartError)):
        start_site(HomeLayout(root=tmp_path / "other"), SiteSettings(miners=0, port=port))


def test_bad_requests_change_nothing(site: RealSite, tmp_path: Path) -> None:
    before, height = balance(site), site.client.status().chain.height
    job = tmp_path / "job.yaml"
    job.write_text("name: x\nmodel: {name: mpl}\n")
    bad = site.pouw("submit", str(job), "--json")
    assert bad.returncode == 2
    assert "mlp" in json.loads(bad.stdout)["error"] + json.loads(bad.stdout)["hint"]
    assert site.pouw("status", "nothing-like-it").returncode == 4
    site.home.token.rename(site.home.token.with_suffix(".kept"))
    try:
        site.home.token.write_text("0" * 64)
        site.home.token.chmod(0o600)
        assert site.pouw("status").returncode == 5
    finally:
        site.home.token.with_suffix(".kept").rename(site.home.token)
    assert balance(site) == before
    assert site.client.status().chain.height == height


def test_a_corrupt_chain_file_is_named(tmp_path: Path) -> None:
    home = HomeLayout(root=tmp_path / "h")
    home.create()
    store = LmdbStore.open(home.chain)
    store.put(b"key", b"value")
    store.close()
    (home.chain / "data.mdb").write_bytes(os.urandom(65536))
    verified = run_pouw(home, "chain", "verify", "--json")
    assert verified.returncode == 1
    assert str(home.chain) in json.loads(verified.stdout)["error"]


def test_power_loss_resumes_with_the_next_up(tmp_path: Path) -> None:
    with running_site(tmp_path / "h", miners=1) as site:
        undisturbed = site.run(small_job("mlp", rounds=150))
        job = site.submit(small_job("mlp", rounds=150))
        committed = site.wait_for_round(job.job_id, 30).round
        host = msgspec.json.decode(site.home.site_file.read_bytes(), type=SiteFile)
        os.killpg(os.getpgid(host.pid), signal.SIGKILL)
        wait_for(lambda: host.is_alive, lambda alive: not alive, 10)
    with running_site(tmp_path / "h", miners=1) as site:
        assert site.job(job.job_id).round >= committed - 5
        ended = site.wait(job.job_id)
        assert (ended.state, ended.state_digest) == ("completed", undisturbed.state_digest)


def test_a_model_larger_than_memory_is_refused_and_refunded(site: RealSite) -> None:
    before = balance(site)
    huge = {"name": "mlp", "hidden": [65_536, 65_536]}
    ended = site.run(small_job("mlp", model=huge, name="huge"))
    assert (ended.state, ended.round) == ("failed", 0)
    assert "GiB" in ended.reason
    assert balance(site) == before
