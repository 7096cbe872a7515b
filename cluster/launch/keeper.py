"""The first process of a site in the background: runs the host process, and runs it again if it ends unasked.

The host process drives Ray and ends when Ray's own processes are gone. What it had started is then killed, frozen
processes too, and the next one starts the site anew from its data directory. The keeper knows nothing of Ray, so
nothing that happens to Ray ends it. A host that never got the site up is not run again, nor one that keeps ending.
"""

import argparse
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from cluster.config import HomeLayout, read_site_file, remove_site_file

HOST_MODULE: Final = "cluster.launch.host"
_SET_CHILD_SUBREAPER: Final = 36
_RESTARTS: Final = 5
_RESTARTS_WITHIN_S: Final = 300.0
_PAUSE_S: Final = 0.5
_SWEPT_S: Final = 10.0

_log = logging.getLogger("pouw.keeper")


def main(arguments: Sequence[str] | None = None) -> int:
    """Keep a site running until SIGTERM or SIGINT. Returns the exit status of the last host process."""
    parser = argparse.ArgumentParser(prog="python -m cluster.launch.keeper")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--module", default=HOST_MODULE)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    _adopt_orphans()
    home = HomeLayout(root=options.home)
    command = [sys.executable, "-m", options.module, "--home", str(options.home), "--settings", str(options.settings)]
    return Keeper(home, [*command, "--keeper", str(os.getpid())]).run()


class Keeper:
    """Runs one command for a home, again and again."""

    def __init__(self, home: HomeLayout, command: Sequence[str]) -> None:
        self._home, self._command = home, list(command)
        self._host: subprocess.Popen[bytes] | None = None
        self._is_stopping = False
        self._ended_s: list[float] = []

    def run(self) -> int:
        """Returns the exit status of the last one."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while True:
            folder = tempfile.mkdtemp(prefix="pouw-")
            status = self._run_once(folder)
            _sweep()
            shutil.rmtree(folder, ignore_errors=True)
            if self._is_stopping or status == 0:
                return status
            if not self._may_go_on():
                remove_site_file(self._home)
                return status
            _log.error("the host process ended with status %d: the site is started again", status)
            time.sleep(_PAUSE_S)

    def _run_once(self, folder: str) -> int:
        """The host's end of the pipe closes with this process, so it never outlives it. `folder`: for this run."""
        self._host = subprocess.Popen([*self._command, "--folder", folder], stdin=subprocess.PIPE)
        if self._is_stopping:
            self._host.terminate()
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            if ended is not None and ended.si_pid == self._host.pid:
                return self._host.wait()
            if ended is not None:
                os.waitpid(ended.si_pid, 0)

    def _may_go_on(self) -> bool:
        site = read_site_file(self._home)
        if site is None or not site.ready:
            return False
        now_s = time.monotonic()
        self._ended_s = [ended_s for ended_s in self._ended_s if now_s - ended_s < _RESTARTS_WITHIN_S] + [now_s]
        return len(self._ended_s) <= _RESTARTS

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
        if self._host is not None and self._host.returncode is None:
            self._host.terminate()


def _adopt_orphans() -> None:
    """Become the parent of processes whose own has ended (Linux only), so that they can be found and ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _sweep() -> None:
    """Kill what the last host left: its descendants are this process's by now."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=_SWEPT_S)


if __name__ == "__main__":
    sys.exit(main())
