"""Keeps this machine a node of its site: a process that joins again whenever the node has ended unasked.

A node ends when its own processes die, and when the site's head is lost or started anew. The keeper knows nothing of
Ray and holds nothing of the site, so it outlives both. It tries for as long as nobody says `pouw down` here, less and
less often, and writes to the node's log why it does not come in.
"""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import msgspec
import psutil

from cluster.config import HomeLayout, ProcessMark, mark_process
from cluster.errors import ClusterError, ConflictError
from cluster.launch.join import (
    ALREADY_JOINED,
    RAY_TOKEN_VARIABLE,
    NodeOptions,
    check_not_joined,
    join_site,
    leave_site,
    load_ray_token,
    read_worker_file,
)
from cluster.launch.process import end_process, spawn_detached
from cluster.secret_file import replace_secret

_LOOK_S: Final = 1.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_END_TIMEOUT_S: Final = 30.0
"""A keeper that is about to join ends that node first."""

_log = logging.getLogger("pouw.staying")


def stay_joined(home: HomeLayout, address: str, token: str, options: NodeOptions) -> ProcessMark:
    """Start the keeper of a node that has joined the site at `address`; `leave` ends both."""
    command = [sys.executable, "-m", "cluster.launch.staying", "--home", str(home.root), "--address", address]
    command += ["--options", msgspec.json.encode(options).decode()]
    keeper = mark_process(spawn_detached(command, home.worker_log, {RAY_TOKEN_VARIABLE: token}).pid)
    replace_secret(home.worker_keeper_file, msgspec.json.encode(keeper))
    return keeper


def leave(home: HomeLayout, chain_id: str | None = None) -> int | None:
    """End this home's worker node for good; returns its process id, or None if none was running.

    `chain_id`: only if it works for this chain.
    """
    worker = read_worker_file(home)
    if chain_id is not None and worker is not None and worker.chain_id not in ("", chain_id):
        return None
    keeper = _read_keeper(home)
    if keeper is not None:
        end_process(keeper, _END_TIMEOUT_S)
        home.worker_keeper_file.unlink(missing_ok=True)
    return leave_site(home)


def check_not_staying(home: HomeLayout) -> None:
    """Raises ConflictError: this home has a worker node, or a keeper that wants to start one again."""
    check_not_joined(home)
    keeper = _read_keeper(home)
    if keeper is not None and keeper.is_alive:
        raise ConflictError(
            f"this machine is waiting to join its site again (process {keeper.pid})",
            hint="end that with: pouw down",
            code=ALREADY_JOINED,
        )


def keep(home: HomeLayout, rejoin: Callable[[], object], sleep: Callable[[float], None]) -> None:
    """Look after the node of a home, and `rejoin` when it has ended, until the home is gone."""
    pause_s, said = _FIRST_PAUSE_S, ""
    while home.root.exists():
        worker = read_worker_file(home)
        if worker is not None and worker.is_alive:
            pause_s, said = _FIRST_PAUSE_S, ""
            sleep(_LOOK_S)
            continue
        try:
            leave_site(home)  # what is left of the one that ended
            rejoin()
        except (ClusterError, OSError, psutil.Error) as error:
            if str(error) != said:
                _log.warning("not joined again yet: %s", error)
            said = str(error)
            sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        else:
            _log.warning("the node had ended: joined again")


def main(arguments: Sequence[str] | None = None) -> None:
    """Keep a node joined until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m cluster.launch.staying")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--options", required=True)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _end)
    home = HomeLayout(root=given.home)
    options = msgspec.json.decode(given.options, type=NodeOptions)
    token = load_ray_token(home, os.environ)
    keep(home, lambda: join_site(home, given.address, token, options), time.sleep)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    """As an exception, so that a node which is being started is ended on the way out."""
    raise SystemExit(0)


def _read_keeper(home: HomeLayout) -> ProcessMark | None:
    try:
        return msgspec.json.decode(home.worker_keeper_file.read_bytes(), type=ProcessMark)
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    main()
