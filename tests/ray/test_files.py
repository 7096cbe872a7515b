"""Tables that a user has: written as CSV, Parquet and NPZ, trained through the command line.

The site trains in the fastest class of this machine; that the default works, the other modules show.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from cluster.client.connection import connect
from cluster.launch.processor import can_run
from jobs.determinism import AVX512, PORTABLE
from tests.kit.real_site import RealSite, running_site

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JOB = """
name: table-{kind}
model: {{name: mlp, hidden: [16]}}
data: {{path: {file}, target: label, {more} normalize: standard, split: {{train: 0.7, validation: 0.1, test: 0.2}}}}
train: {{loss: {loss}, batch_size: 64, slots: 2, optimizer: {{name: adamw, lr: 0.02}}, rounds: 60}}
verify: {{sample: 0.05}}
reward: 5
"""


WIDEST = AVX512 if can_run(AVX512) else PORTABLE


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSite]:
    with running_site(tmp_path_factory.mktemp("home") / "h", miners=2, replay_class=WIDEST) as running:
        yield running


def make_table() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    inputs = generator.normal(size=(600, 4)).astype(np.float32)
    label = (inputs[:, 0] + inputs[:, 1] > 0).astype(np.int64)
    return {**{f"x{i}": inputs[:, i] for i in range(4)}, "label": label}


def write_csv(folder: Path) -> str:
    pa.csv.write_csv(pa.table(make_table()), folder / "t.csv")
    return "t.csv"


def write_parquet(folder: Path) -> str:
    pa.parquet.write_table(pa.table(make_table()), folder / "t.parquet")
    return "t.parquet"


def write_npz(folder: Path) -> str:
    table = make_table()
    features = np.stack([table[f"x{i}"] for i in range(4)], axis=1)
    np.savez(folder / "t.npz", features=features, label=table["label"])
    return "t.npz"


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_npz])
def test_a_table_trains_through_the_command(site: RealSite, tmp_path: Path, write: Callable[[Path], str]) -> None:
    file = write(tmp_path)
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(kind=file[2:], file=file, more="", loss="cross_entropy"))
    done = site.pouw("submit", str(job), "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    view = json.loads(done.stdout)
    assert (view["state"], view["round"]) == ("completed", 60)
    assert view["metrics"]["test_accuracy"] > 0.9
    fetched = site.pouw("fetch", view["job_id"], "-o", str(tmp_path / "w.safetensors"), "--json")
    assert json.loads(fetched.stdout)["digest"] == view["state_digest"]


def test_regression_on_a_table(site: RealSite, tmp_path: Path) -> None:
    table = make_table()
    table["label"] = (2 * table["x0"] - table["x1"]).astype(np.float32)
    pa.parquet.write_table(pa.table(table), tmp_path / "t.parquet")
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(kind="regression", file="t.parquet", more="", loss="mse"))
    view = json.loads(site.pouw("submit", str(job), "--wait", "--json").stdout)
    assert view["state"] == "completed"
    assert view["metrics"]["test_rmse"] < 0.7


def test_a_job_is_of_the_sites_class(site: RealSite, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(JOB.format(kind="class", file=write_csv(tmp_path), more="", loss="cross_entropy"))
    view = json.loads(site.pouw("submit", str(job), "--wait", "--json").stdout)
    audit = json.loads(site.pouw("audit", view["job_id"], "--sample", "1", "--json").stdout)
    assert (audit["match"], audit["inconclusive"]) == (120, 0)
    job.write_text(job.read_text().replace("slots: 2", "slots: 2, replay_class: native"))
    refused = site.pouw("submit", str(job), "--json")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "replay-class")


def test_a_site_with_an_unfinished_job_starts_in_its_class_only(site: RealSite, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(
        JOB.format(kind="long", file=write_csv(tmp_path), more="", loss="cross_entropy").replace("60", "9000")
    )
    view = json.loads(site.pouw("submit", str(job), "--json").stdout)
    site.wait_for_round(view["job_id"], 3)
    site.pouw("down")
    refused = site.pouw("up", "--port", "0", "--replay-class", "native", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "replay-class")
    again = site.pouw("up", "--port", "0", "--replay-class", WIDEST, "--json")
    assert again.returncode == 0, again.stdout + again.stderr
    site = replace(site, client=connect(site.home, {}))
    site.wait_for_round(view["job_id"], 5)
