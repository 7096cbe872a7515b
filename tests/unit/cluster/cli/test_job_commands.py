"""submit, cancel, fetch: what is paid for, what is waited for, and what is written."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from cluster.cli.demo_job import load_demo_job
from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.wallet.keystore import client_keystore
from cluster.wallet.names import CLIENT_KEY
from jobs.export import read_safetensors
from tests.kit.command import Pouw
from tests.kit.memory_site import JOB_ID, LAYOUT, STATE, STATE_DIGEST, MemorySite

JOB_FILE = """\
name: digits
model: {name: mlp, hidden: [16]}
data: {source: digits, split: {train: 0.7, validation: 0.1, test: 0.2}}
train: {loss: cross_entropy, batch_size: 64, slots: 2, optimizer: {name: sgd, lr: 0.1}, rounds: 4}
reward: 10
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    file = tmp_path / "digits.yaml"
    file.write_text(JOB_FILE)
    return file


@pytest.fixture
def payer(home: HomeLayout, site: MemorySite) -> str:
    """Address of the usual key, with credits."""
    address = client_keystore(home).create(CLIENT_KEY).public_key.hex()
    site.give(address, "25")
    return address


def test_submits_data_first_and_then_pays(pouw: Pouw, site: MemorySite, payer: str, job_file: Path) -> None:
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    assert (outcome.json["state"], outcome.json["rounds"]) == ("queued", 4)
    assert outcome.json["job_id"] in site.jobs
    assert site.balances[payer] == 15_000_000
    assert site.uploads == len(site.artifacts) > 0


def test_uploads_only_what_the_site_lacks(pouw: Pouw, site: MemorySite, payer: str, job_file: Path) -> None:
    pouw("submit", job_file)
    before = site.uploads
    assert pouw("submit", job_file).code == ExitCode.OK
    assert site.uploads == before
    assert site.sequences[payer] == 2


def test_waits_until_the_job_has_completed(pouw: Pouw, site: MemorySite, payer: str, job_file: Path) -> None:
    outcome = pouw("submit", job_file, "--wait", "--json")
    assert (outcome.code, outcome.err) == (ExitCode.OK, "")
    wanted = {"job_id", "state", "round", "rounds", "metrics", "state_digest"}
    assert wanted <= set(outcome.json)
    assert (outcome.json["state"], outcome.json["state_digest"]) == ("completed", STATE_DIGEST)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_waiting_for_a_job_that_does_not_complete_exits_1(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path, end: str
) -> None:
    site.ends_as = end
    outcome = pouw("submit", job_file, "--wait", "--json")
    assert (outcome.code, outcome.json["state"]) == (ExitCode.FAILED, end)
    assert "training diverged" in pouw("status").out


def test_people_see_progress_on_stderr_and_the_result_on_stdout(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path
) -> None:
    outcome = pouw("submit", job_file, "--wait")
    assert "uploading: " in outcome.err
    assert "round 4/4" in outcome.err
    assert STATE_DIGEST in outcome.out


def test_ctrl_c_ends_the_watching_and_not_the_job(site: MemorySite, payer: str, job_file: Path) -> None:
    site.ends_as = "running"
    command = [sys.executable, "-m", "cluster.cli.main", "submit", str(job_file), "--wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not any(job.state == "running" for job in site.jobs.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "the job goes on: pouw status" in err
    assert "Traceback" not in err


def test_a_bad_job_file_exits_2_and_lists_every_mistake(pouw: Pouw, home: HomeLayout, job_file: Path) -> None:
    job_file.write_text(JOB_FILE.replace("rounds: 4", "rouns: 4").replace("hidden", "hiden"))
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.USAGE, "job-file")
    assert "rouns" in str(outcome.json["error"])
    assert "hiden" in str(outcome.json["error"])
    assert pouw("submit", job_file.with_name("none.yaml")).code == ExitCode.USAGE


def test_bad_data_exits_1_and_costs_nothing(pouw: Pouw, site: MemorySite, payer: str, job_file: Path) -> None:
    data = "{path: none.csv, target: y, split: {train: 0.7, validation: 0.1, test: 0.2}}"
    lines = [f"data: {data}" if line.startswith("data:") else line for line in JOB_FILE.splitlines()]
    job_file.write_text("\n".join(lines))
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "data")
    assert site.balances[payer] == 25_000_000
    assert site.uploads == 0


def test_a_reward_that_is_too_high_is_refused_before_the_upload(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path
) -> None:
    site.give(payer, "9.999999")
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "funds")
    assert site.uploads == 0


def test_a_job_that_lets_too_little_be_audited_is_refused_before_the_upload(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path
) -> None:
    site.min_audit_ppm = 100_000
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "audit-share")
    assert site.uploads == 0


@pytest.mark.parametrize("named", ["", "replay_class: avx512, "])
def test_a_job_is_of_the_sites_replay_class(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path, named: str
) -> None:
    site.replay_class = "avx512"
    job_file.write_text(JOB_FILE.replace("batch_size: ", f"{named}batch_size: "))
    assert pouw("submit", job_file).code == 0
    assert [spec.train.replay_class for spec in site.specs] == ["avx512"]


def test_a_job_of_another_replay_class_is_refused_before_the_upload(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path
) -> None:
    job_file.write_text(JOB_FILE.replace("batch_size: ", "replay_class: avx512, batch_size: "))
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "replay-class")
    assert site.uploads == 0


def test_submitting_without_a_site_exits_3(pouw: Pouw, home: HomeLayout, job_file: Path) -> None:
    outcome = pouw("submit", job_file, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.UNREACHABLE, "not-up")


def test_an_unknown_key_exits_4(pouw: Pouw, site: MemorySite, job_file: Path) -> None:
    outcome = pouw("submit", job_file, "--key", "other", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_FOUND, "no-key")


def test_a_job_is_cancelled_by_its_key(pouw: Pouw, site: MemorySite, payer: str) -> None:
    outcome = pouw("cancel", "3f2a", "--json")
    assert (outcome.code, outcome.json["job_id"]) == (ExitCode.OK, JOB_ID)
    assert site.jobs[JOB_ID].state == "cancelled"
    assert "will be cancelled" in pouw("cancel", "digits").out


def test_fetched_weights_are_the_ones_the_chain_names(pouw: Pouw, site: MemorySite, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    outcome = pouw("fetch", "digits", "-o", target, "--json")
    assert outcome.code == ExitCode.OK
    assert outcome.json == {"path": str(target), "bytes": target.stat().st_size, "digest": STATE_DIGEST}
    assert read_safetensors(target) == (STATE, LAYOUT)
    with safe_open(target, framework="numpy") as file:
        assert file.get_tensor("layer.weight").shape == (300, 250)
    assert "checked" in pouw("fetch", JOB_ID, "-o", target).out


@pytest.mark.parametrize(
    "state",
    [STATE[:-1] + bytes([STATE[-1] ^ 1]), bytes(len(STATE)), STATE[:1000], b""],
    ids=["one-bit", "zeros", "less-than-a-chunk", "none"],
)
def test_wrong_bytes_are_refused_and_leave_nothing(pouw: Pouw, site: MemorySite, tmp_path: Path, state: bytes) -> None:
    site.state = state
    folder = tmp_path / "out"
    folder.mkdir()
    outcome = pouw("fetch", "digits", "-o", folder / "w.safetensors", "--json")
    assert outcome.code in {ExitCode.FAILED, ExitCode.UNREACHABLE, ExitCode.NOT_FOUND}
    assert outcome.error_code in {"weights", "cut-short", "unreachable"}
    assert list(folder.iterdir()) == []


def test_a_description_of_another_state_is_refused(pouw: Pouw, site: MemorySite, tmp_path: Path) -> None:
    site.last_state_digest = "00" * 32
    outcome = pouw("fetch", "digits", "-o", tmp_path / "w.safetensors", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "weights")


def test_a_failed_fetch_leaves_the_old_file(pouw: Pouw, site: MemorySite, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    pouw("fetch", "digits", "-o", target)
    before = target.read_bytes()
    site.state = bytes(len(STATE))
    assert pouw("fetch", "digits", "-o", target).code == ExitCode.FAILED
    assert target.read_bytes() == before


@pytest.mark.parametrize(("place", "code"), [("", "output"), ("none/w.safetensors", "output")])
def test_a_place_that_cannot_be_written_exits_2(
    pouw: Pouw, site: MemorySite, tmp_path: Path, place: str, code: str
) -> None:
    outcome = pouw("fetch", "digits", "-o", tmp_path / place, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.USAGE, code)


def test_weights_of_an_unfinished_job_are_a_conflict(
    pouw: Pouw, site: MemorySite, payer: str, job_file: Path, tmp_path: Path
) -> None:
    site.ends_as = "failed"
    job = pouw("submit", job_file, "--wait", "--json").json["job_id"]
    outcome = pouw("fetch", job, "-o", tmp_path / "w", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "not-completed")


def test_the_demo_job_is_a_valid_job() -> None:
    assert load_demo_job().name == "digits-demo"
