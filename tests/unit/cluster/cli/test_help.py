"""Every command has examples, --json and stable exit codes; the slow imports stay out of the quick ones."""

import subprocess
import sys

import pytest
import typer

from cluster.cli.main import build_app
from cluster.config import HomeLayout
from cluster.errors import ExitCode
from tests.kit.command import Pouw

TOP = ["demo", "up", "down", "join", "doctor", "submit", "jobs", "status", "logs", "cancel", "fetch", "audit"]
TOP += ["scale", "miners", "version"]
COMMANDS = [[name] for name in TOP] + [["chain", "show"], ["chain", "verify"]]
COMMANDS += [["wallet", name] for name in ("new", "list", "show", "send", "stake")]
COMMANDS += [
    ["storage", name]
    for name in ("status", "deals", "providers", "artifacts", "keep", "fetch", "probe", "drain", "close")
]
HEAVY = {
    "torch",
    "ray",
    "numpy",
    "pyarrow",
    "pydantic",
    "rich",
    "cryptography",
    "fastapi",
    "psutil",
    "httpx",
    "sklearn",
}


def test_the_list_of_commands_is_complete() -> None:
    root = typer.main.get_command(build_app(completion=False))
    found = [[name] for name, command in root.commands.items() if not hasattr(command, "commands")]
    for name, group in root.commands.items():
        found += [[name, each] for each in getattr(group, "commands", {})]
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_with_examples_and_offers_json(pouw: Pouw, command: list[str]) -> None:
    outcome = pouw(*command, "--help")
    assert outcome.code == ExitCode.OK
    assert "--json" in outcome.out
    assert f"pouw {' '.join(command)}" in outcome.out.partition("Examples:")[2]
    assert outcome.err == ""


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["chain"], ["wallet"]])
def test_help_is_shown_where_nothing_was_asked(pouw: Pouw, arguments: list[str]) -> None:
    outcome = pouw(*arguments)
    assert outcome.code == ExitCode.OK
    assert "Usage: pouw" in outcome.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["stauts"],
        ["status", "--jsno"],
        ["status", "a", "b"],
        ["scale"],
        ["scale", "many"],
        ["scale", "-1"],
        ["up", "--port", "70000"],
        ["up", "--beacon", "xyz"],
        ["up", "--supervisors", "0"],
        ["fetch", "job"],
        ["audit", "job", "--sample", "2"],
        ["chain", "verify", "--replay", "-1"],
        ["wallet", "send", "x"],
        ["join", "nowhere"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2_in_words_and_in_json(
    pouw: Pouw, home: HomeLayout, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("POUW_RAY_TOKEN", "t")
    spoken = pouw(*arguments)
    assert (spoken.code, spoken.out) == (ExitCode.USAGE, "")
    assert spoken.err.startswith("error: ")
    assert "Traceback" not in spoken.err
    outcome = pouw(*arguments, "--json")
    assert (outcome.code, outcome.err) == (ExitCode.USAGE, "")
    assert outcome.error_code in {"usage", "settings", "address"}


def test_a_misspelt_command_is_guessed(pouw: Pouw) -> None:
    assert "Did you mean 'status'?" in pouw("stauts").err


def test_version_tells_what_decides_compatibility(pouw: Pouw) -> None:
    assert set(pouw("version", "--json").json) == {"version", "python", "torch", "ray", "cores"}
    assert "torch" in pouw("version").out
    assert pouw("--version").code == ExitCode.OK


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completes_commands_in_a_shell(shell: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "_POUW_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "pouw stat",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "pouw stat",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli.main"], env=environment, capture_output=True, text=True, check=False
    )
    assert "status" in done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--json"], ["jobs", "--json"], ["miners", "--json"]])
def test_quick_commands_import_nothing_heavy(home: HomeLayout, arguments: list[str]) -> None:
    code = f"""
import sys
from cluster.cli.main import main
main({arguments!r})
print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
