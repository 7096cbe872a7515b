"""How long a command takes that people type often: `pouw status` with a site up, and `pouw --help`.

Measured: wall time of the installed command from start to exit, a fresh process each time, median of ten after one
that is not counted (it fills the file cache). The site has two idle miners, so what counts is the command and the
gateway.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.child import Results, Value
from benchmarks.repetition import median_time_s
from benchmarks.temporary_site import running_site, temporary_home
from cluster.config import HOME_VARIABLE
from cluster.settings import SiteSettings

_POUW = Path(sys.executable).with_name("pouw")


def measure(arguments: Mapping[str, Value]) -> Results:
    """Milliseconds."""
    repetitions, wanted = (3 if arguments["quick"] else 10), arguments["wanted"]
    assert isinstance(wanted, list)
    results: Results = {}
    with temporary_home() as home:
        environment = {**os.environ, HOME_VARIABLE: str(home.root)}
        if "help_ms" in wanted:
            results["help_ms"] = _median_ms(["--help"], environment, repetitions)
            results["help_ms.bare_python"] = 1000 * median_time_s(lambda: _run([sys.executable, "-c", ""]), repetitions)
        if "status_ms" in wanted:
            with running_site(home, SiteSettings(miners=2, port=0)):
                results["status_ms"] = _median_ms(["status"], environment, repetitions)
    return results


def _median_ms(command: Sequence[str], environment: Mapping[str, str], repetitions: int) -> float:
    return 1000 * median_time_s(lambda: _run([str(_POUW), *command], environment), repetitions)


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Raises CalledProcessError if the command fails: a failure is no measurement."""
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
