"""One job, one byte string; and only what decides the result is in the program's bytes."""

import json
import subprocess
import sys
import time

import pytest

from jobs.errors import JobFileError
from jobs.spec.canonical import MAX_SPEC_BYTES, parse_spec, program_bytes, spec_bytes
from jobs.spec.job import JobSpec
from tests.kit.training import CONVNET, DIGITS, GPT, MLP, RESNET, TEXT, make_spec

TABLE = {"path": "/data/t.csv", "target": "y", "features": ["a", "b"], "shape": None, "normalize": "standard"}


def changed(spec: JobSpec, section: str, value: object) -> JobSpec:
    job = json.loads(spec_bytes(spec))
    job[section] = (job[section] or {}) | value if isinstance(value, dict) else value
    return JobSpec.model_validate_json(json.dumps(job))


@pytest.mark.parametrize("model", [MLP, CONVNET, RESNET])
@pytest.mark.parametrize("data", [DIGITS, TABLE])
def test_reading_back_gives_the_same_job(model: dict[str, object], data: dict[str, object]) -> None:
    spec = make_spec(model, data, local_steps=2)
    assert parse_spec(spec_bytes(spec)) == spec


def test_reading_back_a_text_job_gives_the_same_job() -> None:
    spec = make_spec(GPT, TEXT)
    assert parse_spec(spec_bytes(spec)) == spec


def test_spelling_out_a_default_changes_nothing() -> None:
    implied = make_spec(MLP, DIGITS)
    spelt = make_spec(
        MLP | {"dropout": 0}, DIGITS, optimizer={"name": "adamw", "lr": 1e-3}, eval_every=1, micro_batch=16
    )
    assert spec_bytes(spelt) == spec_bytes(implied)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("name", "another"),
        ("reward", 5),
        ("miners", {"max": 3}),
        ("storage", {"replicas": 3}),
        ("verify", {"sample": 0.5}),
        ("data", {"path": "/elsewhere/t.parquet"}),
        ("data", {"format": "csv"}),
        ("train", {"device": "cuda"}),
        ("train", {"replay_class": "native"}),
    ],
)
def test_the_program_leaves_out_what_does_not_decide_the_result(section: str, value: object) -> None:
    spec = make_spec(MLP, TABLE)
    other = changed(spec, section, value)
    assert other != spec
    assert program_bytes(other) == program_bytes(spec)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("seed", 8),
        ("model", {"hidden": [33]}),
        ("data", {"target": "z"}),
        ("data", {"normalize": "none"}),
        ("train", {"rounds": 21}),
        ("train", {"micro_batch": 8}),
        ("train", {"eval_every": 2}),
    ],
)
def test_the_program_holds_what_decides_the_result(section: str, value: object) -> None:
    spec = make_spec(MLP, TABLE)
    assert program_bytes(changed(spec, section, value)) != program_bytes(spec)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'"seed":7', b'"seed":7 ', "not in its canonical form"),
        (b'"seed":7', b'"seed":7,"seed":7', "not in its canonical form"),
        (b'"seed":7', b'"seed":7,"sed":7', "sed: unknown key (did you mean 'seed'?)"),
        (b'"lr":0.001', b'"lr":NaN', "train.optimizer.lr: must be a finite number"),
        (b'"lr":0.001', b'"lr":1e-3', "not in its canonical form"),
        (b'"slots":2', b'"slots":3', "train.batch_size: must be divisible by slots (3)"),
        (b"{", b"[", "Invalid JSON"),
    ],
)
def test_refuses_bytes_that_are_not_a_jobs_own(old: bytes, new: bytes, expected: str) -> None:
    data = spec_bytes(make_spec(MLP, DIGITS))
    assert old in data
    with pytest.raises(JobFileError) as raised:
        parse_spec(data.replace(old, new, 1))
    assert raised.value.mistakes[0].startswith("job spec: ")
    assert expected in raised.value.mistakes[0]


def test_refuses_oversized_and_deeply_nested_bytes() -> None:
    with pytest.raises(JobFileError, match="over the limit"):
        parse_spec(b" " * (MAX_SPEC_BYTES + 1))
    with pytest.raises(JobFileError, match="job spec"):
        parse_spec(b"[" * 100_000)


def test_importing_the_spec_loads_nothing_heavy() -> None:
    script = "import sys, jobs.spec.file; print(sorted({'torch','numpy','pyarrow','sklearn','ray'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_job_file_is_parsed_quickly_however_it_nests() -> None:
    start = time.perf_counter()
    with pytest.raises(JobFileError):
        parse_spec(b'{"name":' * 10_000)
    assert time.perf_counter() - start < 5
