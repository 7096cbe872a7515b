"""No byte from another party is unpickled, evaluated or loaded as a torch file (invariant 3).

The first half reads the source: what is not imported cannot be called. The second half brings such bytes along.
"""

import ast
import io
import os
import pickle  # noqa: TID251 - what an attacker brings along
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import cluster
from cluster.cluster_file import load_cluster_file
from cluster.errors import UsageError
from consensus.crypto.keys import SecretKey
from consensus.errors import EncodingError
from jobs.data.prepare import prepare_dataset
from jobs.errors import DataError, JobError, JobFileError
from jobs.spec.canonical import parse_spec
from jobs.spec.file import load_job_file
from tests.kit.site import CHEAT, Site, open_site
from tests.kit.training import MLP, make_spec

PACKAGES = ("consensus", "storage", "jobs", "cluster")
ROOT = Path(cluster.__file__).parent.parent
BANNED_MODULES = frozenset(
    {
        "pickle",
        "_pickle",
        "cPickle",
        "cloudpickle",
        "dill",
        "joblib",
        "marshal",
        "shelve",
        "jsonpickle",
        "code",
        "runpy",
    }
)
BANNED_CALLS = frozenset({"eval", "exec", "compile", "__import__"})
BANNED_ATTRIBUTES = frozenset(
    {
        ("torch", "load"),
        ("torch", "save"),
        ("torch.jit", "load"),
        ("torch.hub", "load"),
        ("torch.package", "PackageImporter"),
        ("np", "fromregex"),
        ("numpy", "fromregex"),
        ("os", "system"),
        ("os", "popen"),
        ("yaml", "load"),
        ("yaml", "unsafe_load"),
        ("yaml", "full_load"),
        ("importlib", "import_module"),
        ("ray.cloudpickle", "loads"),
    }
)


RUNS_RAYS_WORKER = "cluster/launch/fork_server.py:runpy"
"""Ray's own installed program, as Ray itself would run it. No request can name another: tests of the fork server."""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_there_is_source_to_read() -> None:
    assert sum(1 for _ in sources()) > 100


def test_no_module_that_runs_what_it_reads_is_imported() -> None:
    found: list[str] = []
    for path, tree in sources():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            found += [f"{path}:{name}" for name in names if BANNED_MODULES & set(name.split("."))]
    assert found == [RUNS_RAYS_WORKER]


def test_nothing_is_evaluated_and_no_torch_file_is_loaded() -> None:
    found: list[str] = []
    for path, tree in sources():
        for call in calls(tree):
            name = ast.unparse(call.func)
            owner, _, attribute = name.rpartition(".")
            if name in BANNED_CALLS or (owner, attribute) in BANNED_ATTRIBUTES:
                found.append(f"{path}:{call.lineno} {name}")
    assert found == []


def test_numpy_files_are_read_without_pickle() -> None:
    for path, tree in sources():
        for call in calls(tree):
            if ast.unparse(call.func) in ("np.load", "numpy.load"):
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                assert keywords.get("allow_pickle") == "False", f"{path}:{call.lineno}"


def test_processes_are_not_started_through_a_shell() -> None:
    for path, tree in sources():
        for call in calls(tree):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert keywords.get("shell", "False") == "False", f"{path}:{call.lineno}"


def test_yaml_is_only_read_in_its_safe_form() -> None:
    for path, tree in sources():
        for call in calls(tree):
            if ast.unparse(call.func) == "YAML":
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                is_safe = keywords.get("typ") == "'safe'" or path == Path("jobs/spec/document.py")
                assert is_safe, f"{path}:{call.lineno}"
                # The job file's reader never constructs: it walks the nodes, where a tag is only a word.
    document = (ROOT / "jobs/spec/document.py").read_text(encoding="utf-8")
    assert ".compose(" in document
    assert ".load(" not in document


# such bytes, brought along


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> "tuple[object, ...]":
        return (os.mkdir, (str(self.trace),))


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "the bomb went off"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def site() -> Site:
    return open_site(miners=(CHEAT,))


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "trace")))  # noqa: S301 - shows that the other tests can fail
    assert (tmp_path / "trace").exists()


def test_a_pickle_in_place_of_a_message(site: Site, trace: Path) -> None:
    bomb = pickle.dumps(Bomb(trace))
    for take in (
        lambda: site.supervisor.submit(bomb),
        lambda: site.supervisor.commit_round(bomb, (bomb,)),
        lambda: site.miners[CHEAT].run_slot(bomb, None),
    ):
        with pytest.raises(EncodingError):
            take()
    site.refusal(bomb)


def test_a_pickle_in_place_of_a_spec(trace: Path) -> None:
    with pytest.raises(JobFileError):
        parse_spec(pickle.dumps(Bomb(trace)))


def test_a_pickle_in_an_npz_archive(trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    bombs = np.array([Bomb(trace)] * 20, dtype=object)
    np.savez(path, x=np.zeros((20, 3), np.float32), y=bombs)
    data = {"path": str(path), "target": "y", "split": {"train": 0.7, "validation": 0.1, "test": 0.2}}
    with pytest.raises(DataError):
        prepare_dataset(make_spec(MLP, data))


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet", "npy", "pt", "txt"])
def test_a_torch_file_under_any_name(trace: Path, tmp_path: Path, suffix: str) -> None:
    """A torch file is an archive with a pickle inside."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb(trace)))
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(archive.getvalue())
    with pytest.raises((JobError, ValueError)):
        prepare_dataset(make_spec(MLP, {"path": str(path), "target": "y", "split": {"train": 0.8, "test": 0.2}}))


YAML_BOMBS = [
    '!!python/object/apply:os.mkdir ["{trace}"]',
    'name: !!python/object/apply:os.mkdir ["{trace}"]',
    'name: !!python/object/new:os.mkdir ["{trace}"]',
    "name: !!python/name:os.mkdir ''",
    "name: !!python/module:os ''",
    "name: !mine x",
    "metadata: {{pouw: {{network: !!python/tuple [a]}}}}",
]


@pytest.mark.parametrize("text", YAML_BOMBS)
def test_tags_in_a_job_file(trace: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text.format(trace=trace))
    with pytest.raises(JobFileError):
        load_job_file(path)


@pytest.mark.parametrize("text", YAML_BOMBS)
def test_tags_in_a_cluster_file(trace: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text.format(trace=trace))
    with pytest.raises(UsageError):
        load_cluster_file(path)


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 12)
)


def test_a_file_that_stands_for_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "laughs.yaml"
    path.write_text(LAUGHS)
    with pytest.raises(JobFileError):
        load_job_file(path)
    path.write_text(LAUGHS + "metadata: {pouw: {network: *a11}}\n")
    with pytest.raises(UsageError):
        load_cluster_file(path)


def test_a_file_that_is_nested_without_end(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("[" * 600)
    with pytest.raises(JobFileError):
        load_job_file(path)
    with pytest.raises(UsageError):
        load_cluster_file(path)


def test_a_secret_key_cannot_be_pickled_along() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(SecretKey(bytes(32)))
