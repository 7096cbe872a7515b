"""The shape of the tree: what import-linter and ruff cannot say."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("consensus", "storage", "jobs", "cluster")
LONGEST_FILE = 400


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def importers_of(module: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if any(name == module or name.startswith(f"{module}.") for name in imported_modules(path))
    }


def test_every_package_is_listed_for_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    present = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in sources()}
    assert listed == present


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_says_why_it_is_there_and_stays_short(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module opens with why"
    assert len(text.splitlines()) <= LONGEST_FILE
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "a package's __init__ is its docstring"


def test_one_file_knows_lmdb() -> None:
    assert importers_of("lmdb") == {"storage/lmdb_kv.py"}


def test_ray_stays_in_actors_and_launch() -> None:
    allowed = ("cluster/actors/", "cluster/launch/")
    assert {path for path in importers_of("ray") if not path.startswith(allowed)} == set()


def test_torch_stays_where_training_is() -> None:
    allowed = ("jobs/training/", "jobs/models/", "jobs/determinism.py", "jobs/evaluation.py", "jobs/machine.py")
    assert {path for path in importers_of("torch") if not path.startswith(allowed)} <= {"cluster/launch/doctor.py"}


def test_torch_is_seeded_in_one_place() -> None:
    seeding = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"manual_seed", "manual_seed_all", "seed_all"}
    }
    assert seeding == {"jobs/determinism.py"}


def test_consensus_knows_no_floats() -> None:
    """Losses and metrics enter as integers; a float in a rule would round differently somewhere."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "consensus").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
    ]
    assert found == []


@pytest.mark.parametrize("module", ["cluster.actors.gateway", "cluster.actors.supervisor", "cluster.cli.main"])
def test_processes_that_do_not_train_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
