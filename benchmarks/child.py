"""Run one module's `measure` in a fresh process: arguments in and results out as JSON files, everything ended after.

`call` is the parent's half, `main` the child's. A child that takes too long is asked to stop (SIGTERM becomes
SystemExit, so its `finally` blocks shut sites and clusters down) and killed with its process group if it does not.
"""

import importlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TypeAlias

from jobs.determinism import PORTABLE, VARIABLES, environment

Value: TypeAlias = float | int | str | bool | list[str]
Results: TypeAlias = dict[str, Value]

ROOT: Final = Path(__file__).resolve().parent.parent
_STOP_S: Final = 90.0


class MeasurementError(Exception):
    """A child failed or took too long; its output says why."""


def call(
    module: str,
    arguments: Mapping[str, Value],
    *,
    timeout_s: float,
    cores: Sequence[int] | None = None,
    within: Sequence[str] = (),
    replay_class: str = PORTABLE,
) -> Results:
    """Run `module.measure(arguments)` in a process of a replay class, and return what it returns.

    `cores`: the processor cores that it, and all it starts, may use. `within`: a command that runs the command it is
    followed by, in a network namespace for instance.

    Raises:
        MeasurementError: it failed or took longer than `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="pouw-bench-call-") as folder:
        given, found = Path(folder, "given.json"), Path(folder, "found.json")
        given.write_text(json.dumps(dict(arguments)))
        command = [*within, sys.executable, "-m", "benchmarks.child", module, str(given), str(found)]
        if cores is not None:
            command.append(",".join(str(core) for core in cores))
        process = subprocess.Popen(command, cwd=ROOT, env=_child_environment(replay_class), start_new_session=True)
        _wait(process, module, timeout_s)
        if not found.exists():
            raise MeasurementError(f"{module} ended with status {process.returncode}")
        results: Results = json.loads(found.read_text())
        return results


def _child_environment(replay_class: str) -> dict[str, str]:
    """As a site's own processes have it: the kernels of the class, one thread. Nothing of the operator's own site."""
    own = ("POUW_", "RAY_", *VARIABLES)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    own_ray = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    return {**kept, **environment(replay_class), **own_ray, "PYTHONPATH": str(ROOT)}


def _wait(process: subprocess.Popen[bytes], module: str, timeout_s: float) -> None:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        _stop(process)
        raise MeasurementError(f"{module} took longer than {timeout_s:g} s") from error
    except BaseException:
        _stop(process)
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """A handler of signals with which `finally` blocks still run."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> None:
    """The child: import the module, measure, write what came of it."""
    module, given, found, *cores = arguments
    signal.signal(signal.SIGTERM, exit_on_signal)
    if cores:
        os.sched_setaffinity(0, {int(core) for core in cores[0].split(",")})
    results: Results = importlib.import_module(module).measure(json.loads(Path(given).read_text()))
    partial = Path(found).with_suffix(".tmp")
    partial.write_text(json.dumps(results))
    partial.rename(found)


if __name__ == "__main__":
    main(sys.argv[1:])
