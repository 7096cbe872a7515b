"""A job file is read whole or refused with every mistake by file, line and key."""

from pathlib import Path

import pytest

from jobs.errors import JobFileError
from jobs.spec.data import FileData
from jobs.spec.file import MAX_FILE_BYTES, load_job_file
from jobs.spec.optimizer import AdamwSpec

JOB = """\
name: digits
model:
  name: mlp
  hidden: [128, 64]
data:
  source: digits
  split:
    train: 0.7
    validation: 0.1
    test: 0.2
train:
  loss: cross_entropy
  batch_size: 256
  slots: 4
  optimizer:
    name: adamw
    lr: 1e-3
  rounds: 300
  stop_when:
    metric: accuracy
    reaches: 0.97
verify:
  sample: 0.05
seed: 7
miners: {min: 1, max: 8}
storage: {replicas: 2}
reward: 1_000
"""


def mistakes_in(folder: Path, text: str | bytes) -> tuple[str, ...]:
    path = folder / "job.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(JobFileError) as raised:
        load_job_file(path)
    prefix = f"{path}:"
    assert all(mistake.startswith(prefix) for mistake in raised.value.mistakes)
    return tuple(mistake.removeprefix(prefix) for mistake in raised.value.mistakes)


def test_reads_a_job(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    spec = load_job_file(path)
    assert spec.name == "digits"
    assert spec.train.optimizer == AdamwSpec(name="adamw", lr=0.001)
    assert (spec.reward, spec.seed, spec.verify.audit_ppm) == (1000, 7, 50_000)


@pytest.mark.parametrize("name", ["digits", "digits-convnet", "python-text", "table"])
def test_reads_every_example(name: str) -> None:
    examples = Path(__file__).parents[4] / "examples"
    assert load_job_file(examples / f"{name}.yaml").train.rounds > 0


FAULTS = [
    # unknown keys, one at each level
    ("seed: 7", "sed: 7", "24: sed: unknown key (did you mean 'seed'?)"),
    ("  hidden: [128, 64]", "  hiden: [1]\n  hidden: [1]", "4: model.hiden: unknown key (did you mean 'hidden'?)"),
    (
        "  source: digits",
        "  source: digits\n  normalise: none",
        "7: data.normalise: unknown key (did you mean 'normalize'?)",
    ),
    ("    test: 0.2", "    test: 0.2\n    tst: 0", "11: data.split.tst: unknown key (did you mean 'test'?)"),
    ("  slots: 4", "  slot: 4", "14: train.slot: unknown key (did you mean 'slots'?)"),
    (
        "    lr: 1e-3",
        "    lr: 1e-3\n    warmup: 2",
        "18: train.optimizer.warmup: unknown key (did you mean 'warmup_rounds'?)",
    ),
    (
        "    lr: 1e-3",
        "    lr: 1e-3\n    momentum: 0.9",
        "18: train.optimizer.momentum: unknown key; known are lr, schedule",
    ),
    (
        "    metric: acc",
        "    metrik: x\n    metric: acc",
        "20: train.stop_when.metrik: unknown key (did you mean 'metric'?)",
    ),
    ("  sample: 0.05", "  share: 0.05", "23: verify.share: unknown key"),
    ("{min: 1, max: 8}", "{min: 1, maxx: 8}", "25: miners.maxx: unknown key (did you mean 'max'?)"),
    ("{replicas: 2}", "{replica: 2}", "26: storage.replica: unknown key (did you mean 'replicas'?)"),
    ("    lr: 1e-3", "    lr: 1\n    epochs: 3", "18: train.optimizer.epochs: unknown key"),
    ("{replicas: 2}", "{data: 4, parity: 2, replicas: 2}", "26: storage.replicas: unknown key; known are reward"),
    (
        "{replicas: 2}",
        "{replicas: 2, collateraal: 1}",
        "26: storage.collateraal: unknown key (did you mean 'collateral'",
    ),
    ("{replicas: 2}", "{}", "26: storage.replicas: is required"),
    ("{replicas: 2}", "{data: 4}", "26: storage.parity: is required"),
    ("{replicas: 2}", "[2]", "26: storage: must be a mapping of keys to values"),
    ("{replicas: 2}", "{replicas: two}", '26: storage.replicas: must be a whole number, not "two"'),
    ("{replicas: 2}", "{replicas: 2.5}", "26: storage.replicas: must be a whole number, not 2.5"),
    ("{replicas: 2}", "{replicas: 0}", "26: storage.replicas: must be at least 1, not 0"),
    ("{replicas: 2}", "{replicas: 65}", "26: storage.replicas: must be at most 64, not 65"),
    ("{replicas: 2}", "{data: 1, parity: 2}", "26: storage.data: must be at least 2, not 1"),
    ("{replicas: 2}", "{data: 40, parity: 40}", "26: storage.parity: data and parity together are more than 64 pieces"),
    ("{replicas: 2}", "{replicas: 2, proofs: 0}", "26: storage.proofs: must be at least 1, not 0"),
    ("{replicas: 2}", "{replicas: 2, reward: -1}", "26: storage.reward: must be at least 0, not -1"),
    ("{replicas: 2}", "{replicas: 2, reward: 0.5}", "26: storage.reward: must be a whole number, not 0.5"),
    (
        "{replicas: 2}",
        "\n  replicas: 2\n  collateral: lots",
        '28: storage.collateral: must be a whole number, not "lots"',
    ),
    ("  rounds: 300", "  epochs: 300", "18: train.epochs: unknown key (did you mean 'rounds'?)"),
    # missing keys
    ("name: digits\n", "", "1: name: is required"),
    ("  rounds: 300\n", "", "11: train.rounds: is required"),
    ("    lr: 1e-3\n", "", "15: train.optimizer.lr: is required"),
    ("  name: mlp\n", "", "2: model: needs `name`: mlp, convnet, resnet, gpt"),
    ("  source: digits\n", "", "5: data: needs `source` (digits or python-text) or `path` (a file of yours)"),
    ("  source: digits\n", "  path: a.csv\n", "5: data.target: is required"),
    ("    train: 0.7\n", "", "7: data.split.train: is required"),
    # wrong types
    ("batch_size: 256", "batch_size: '256'", '13: train.batch_size: must be a whole number, not "256"'),
    ("batch_size: 256", "batch_size: 256.0", "13: train.batch_size: must be a whole number, not 256.0"),
    ("batch_size: 256", "batch_size: true", "13: train.batch_size: must be a whole number, not true"),
    ("lr: 1e-3", "lr: fast", '17: train.optimizer.lr: must be a number, not "fast"'),
    ("lr: 1e-3", "lr: yes", '17: train.optimizer.lr: must be a number, not "yes"'),
    ("lr: 1e-3", "lr:", "17: train.optimizer.lr: must be a number, not null"),
    ("name: digits", "name: 12", "1: name: must be text, not 12"),
    ("hidden: [128, 64]", "hidden: 128", "4: model.hidden: must be a list, not 128"),
    ("hidden: [128, 64]", "hidden:\n    - 128\n    - wide", '6: model.hidden[1]: must be a whole number, not "wide"'),
    ("verify:\n  sample: 0.05", "verify: 0.05", "22: verify: must be a mapping of keys to values, not 0.05"),
    ("{min: 1, max: 8}", "[1, 8]", "25: miners: must be a mapping of keys to values"),
    # out of range
    ("reward: 1_000", "reward: -1", "27: reward: must be at least 0, not -1"),
    ("hidden: [128, 64]", "hidden: [128, 0]", "4: model.hidden[1]: must be at least 1, not 0"),
    ("sample: 0.05", "sample: 5", "23: verify.sample: must be at most 1, not 5"),
    ("lr: 1e-3", "lr: 0", "17: train.optimizer.lr: must be greater than 0, not 0"),
    ("reaches: 0.97", "reaches: 97", "21: train.stop_when.reaches: an accuracy is a share above 0 and at most 1"),
    ("seed: 7", "seed: 99999999999999999999", "24: seed: must be at most"),
    ("seed: 7", "seed: 9999999999999999999999999999999999999999999", "24: seed: a number with too many digits"),
    ("name: digits", "name: ../digits", "1: name: must be 1 to 64 of A-Z a-z 0-9 . _ -"),
    ("name: digits", 'name: "digits\\n"', "1: name: must be 1 to 64 of A-Z a-z 0-9 . _ -"),
    ("name: digits", "name: ..", "1: name: must be 1 to 64 of A-Z a-z 0-9 . _ -"),
    ("name: digits", "name: my job", "1: name: must be 1 to 64 of A-Z a-z 0-9 . _ -"),
    # not finite
    ("lr: 1e-3", "lr: .inf", "17: train.optimizer.lr: must be a finite number, not Infinity"),
    ("lr: 1e-3", "lr: .nan", "17: train.optimizer.lr: must be a finite number, not NaN"),
    ("reaches: 0.97", "reaches: 1e999", "21: train.stop_when.reaches: must be a finite number"),
    # misspelt words
    ("name: mlp", "name: mpl", "3: model.name: \"mpl\" is not known here (did you mean 'mlp'?)"),
    ("source: digits", "source: digitz", "6: data.source: \"digitz\" is not known here (did you mean 'digits'?)"),
    ("name: adamw", "name: adam", "16: train.optimizer.name: \"adam\" is not known here (did you mean 'adamw'?)"),
    ("loss: cross_entropy", "loss: crossentropy", '12: train.loss: "crossentropy" is not known here (did you mean'),
    ("loss: cross_entropy", "loss: hinge", '12: train.loss: "hinge" is not known here; known are cross_entropy, mse'),
    ("metric: accuracy", "metric: acuracy", '20: train.stop_when.metric: "acuracy" is not known here (did you mean'),
    # contradictions
    ("test: 0.2", "test: 0.3", "7: data.split: train + validation + test must be 1, not 1.1"),
    ("batch_size: 256", "batch_size: 255", "13: train.batch_size: must be divisible by slots (4); try 252 or 256"),
    ("batch_size: 256", "batch_size: 3", "13: train.batch_size: must be divisible by slots (4); try 4"),
    ("slots: 4", "slots: 4\n  micro_batch: 48", "15: train.micro_batch: must divide the 64 examples of a slot"),
    ("slots: 4", "slots: 4\n  inner_optimizer: {name: sgd, lr: 1}", "15: train.inner_optimizer: needs local_steps"),
    ("{min: 1, max: 8}", "{min: 9, max: 8}", "25: miners.min: must not be more than max (8)"),
    ("metric: accuracy", "metric: rmse", "20: train.stop_when.metric: this job measures accuracy, not rmse"),
    ("loss: cross_entropy", "loss: mse", "12: train.loss: digits has classes to tell apart: use cross_entropy"),
    ("source: digits", "source: python-text", "3: model.name: mlp cannot learn from text; use gpt or other data"),
    # the document itself
    ("seed: 7", "seed: 7\nseed: 8", "25: seed: given twice; the first time in line 24"),
    ("    lr: 1e-3", "    lr: 1\n    lr: 2", "18: train.optimizer.lr: given twice; the first time in line 17"),
    ("seed: 7", "seed: !!python/object/apply:os.system ['true']", "24: seed: the tag tag:yaml.org,2002:python/object"),
    ("seed: 7", "seed: !!python/name:os.system x", "24: seed: the tag tag:yaml.org,2002:python/name:os.system is not"),
    ("seed: 7", "seed: !mine 7", "24: seed: the tag !mine is not allowed"),
    ("seed: 7", "seed: &a 7", "24: seed: anchors and aliases (& and *) are not supported"),
    ("seed: 7", "? [1, 2]\n: 3", "24: a key must be a word"),
    ("seed: 7", "\tseed: 7", "24: not YAML: a tab is used to indent; use spaces"),
    ("hidden: [128, 64]", "hidden: [128, 64", "5: not YAML: "),
    ("seed: 7", "seed: 010", "24: seed: 010 is not a number that can be used here"),
]


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS)
def test_reports_one_mistake_where_it_is(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert JOB.count(old) == 1
    (mistake, *others) = mistakes_in(tmp_path, JOB.replace(old, new))
    assert any(each.startswith(expected) for each in (mistake, *others)), (mistake, *others)


def test_reports_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = JOB.replace("name: mlp", "name: mpl").replace("batch_size: 256", "batch_size: big").replace("seed", "sed")
    text += "reward: 3\n"
    lines = [int(mistake.split(":")[0]) for mistake in mistakes_in(tmp_path, text)]
    assert lines == [3, 13, 24, 28]


def test_a_refused_value_is_reported_once(tmp_path: Path) -> None:
    assert len(mistakes_in(tmp_path, JOB.replace("lr: 1e-3", "lr: !fast 1"))) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: the file is empty; start from one of the files in examples/"),
        ("# nothing but a comment\n", "1: the file is empty"),
        ("- name: digits\n", "1: must be a mapping with the keys name, model, data, train, verify, seed"),
        ("just words", "1: must be a mapping"),
        ("\n\n42\n", "3: must be a mapping"),
        ("a: b: c: d", "1: not YAML: "),
        ("name: x\n---\nname: y\n", "2: not YAML: "),
        ("name: \x00\n", "1: not YAML: "),
        (b"name: a\nmodel: \xff\xfe\n", "2: not UTF-8 text; save the file as UTF-8"),
        ("{[" * 600, "1: not "),
        ("[" * 600 + "]" * 600, "1: "),
        ("a: &x [1]\nb: [*x, *x, *x]\n", "1: a: anchors and aliases"),
        ('name: "\\ud800"\n', "1: "),
    ],
)
def test_refuses_what_is_no_job_at_all(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert any(mistake.startswith(expected) for mistake in mistakes_in(tmp_path, text))


def test_refuses_a_huge_file_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    with pytest.raises(JobFileError, match="larger than 64 KiB"):
        load_job_file(path)


def test_says_when_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="there is no such file"):
        load_job_file(tmp_path / "absent.yaml")
    with pytest.raises(JobFileError, match="cannot be read"):
        load_job_file(tmp_path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("table.csv", "{folder}/table.csv"), ("/data/table.csv", "/data/table.csv"), ("s3://b/t.csv", "s3://b/t.csv")],
)
def test_data_paths_start_at_the_job_file(tmp_path: Path, written: str, expected: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("source: digits", f"path: {written}\n  target: y"))
    data = load_job_file(path).data
    assert isinstance(data, FileData)
    assert data.path == expected.format(folder=tmp_path.resolve())
