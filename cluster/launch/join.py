"""Make this machine a worker node of a site that runs elsewhere.

The node runs code for the site, and the site for it: both must be of one operator. So it needs Ray's token of that
site, which is handed over by hand (the file `site/ray-token` of the site's home).
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from cluster.config import HomeLayout, ProcessMark, mark_process
from cluster.errors import ClusterError, ConflictError, NotAuthorisedError, UnreachableError, UsageError
from cluster.launch.process import kill_group, last_lines, spawn_detached, terminate, wait_until
from cluster.launch.ray_environment import ray_environment
from cluster.secret_file import load_secret, make_private_folder, replace_secret
from cluster.views import View

RAY_TOKEN_VARIABLE: Final = "POUW_RAY_TOKEN"  # noqa: S105 - the name of a variable
JOIN_TIMEOUT_S: Final = 60.0
LEAVE_TIMEOUT_S: Final = 15.0
_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
_STARTED: Final = "Ray runtime started."
_REFUSED: Final = "InvalidAuthToken"
_ALL: Final = 1_000
_LONGEST: Final = 300


class WorkerFile(ProcessMark, frozen=True, kw_only=True):
    """The worker node of this home."""

    address: str
    """Ray address of the site."""


class JoinView(View, frozen=True):
    """What `pouw join` did."""

    address: str
    pid: int
    log: str


def read_worker_file(home: HomeLayout) -> WorkerFile | None:
    """The recorded worker node, or None. It may have ended."""
    try:
        return msgspec.json.decode(home.worker_file.read_bytes(), type=WorkerFile)
    except FileNotFoundError:
        return None


def load_ray_token(home: HomeLayout, environment: Mapping[str, str]) -> str:
    """Ray's token of the site: `POUW_RAY_TOKEN`, else the home's own copy.

    Raises:
        NotAuthorisedError: there is none, or others may read it.
    """
    given = environment.get(RAY_TOKEN_VARIABLE, "").strip()
    if given:
        return given
    try:
        return load_secret(home.ray_token).decode().strip()
    except FileNotFoundError as error:
        raise NotAuthorisedError(
            "joining needs the site's Ray token",
            hint=f"copy site/ray-token of the site's home to {home.ray_token} (mode 600), or set {RAY_TOKEN_VARIABLE}",
            code="no-ray-token",
        ) from error


def join_site(
    home: HomeLayout,
    address: str,
    token: str,
    *,
    node_ip: str | None = None,
    cpus: int | None = None,
    tick: Callable[[], None] | None = None,
    timeout_s: float = JOIN_TIMEOUT_S,
) -> JoinView:
    """Start a Ray worker node for the site at `address` (HOST:PORT) and return when it has joined.

    Raises:
        UsageError: not an address.
        ConflictError: this home runs a worker node already.
        NotAuthorisedError: the site does not accept the token.
        UnreachableError: the node did not come up; says what Ray said last.
    """
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"{address!r} is not HOST:PORT", hint="pouw up prints the address to join", code="address")
    make_private_folder(home.root)
    _check_not_joined(home)
    offset = home.worker_log.stat().st_size if home.worker_log.exists() else 0
    worker = spawn_detached(
        _command(address, node_ip, cpus), home.worker_log, {**ray_environment(token), "PYTHONUNBUFFERED": "1"}
    )
    mark = mark_process(worker.pid)
    record = WorkerFile(pid=mark.pid, create_time=mark.create_time, address=address)
    replace_secret(home.worker_file, msgspec.json.encode(record))
    wait_until(lambda: worker.has_ended() or _has_started(home, offset), timeout_s, tick)
    if not worker.has_ended() and _has_started(home, offset):
        return JoinView(address=address, pid=worker.pid, log=str(home.worker_log))
    _end(mark)
    worker.has_ended()
    home.worker_file.unlink(missing_ok=True)
    raise _explain(home, address, offset)


def leave_site(home: HomeLayout) -> int | None:
    """End this home's worker node and return its process id, or None if none was running."""
    worker = read_worker_file(home)
    home.worker_file.unlink(missing_ok=True)
    if worker is None or not worker.is_alive:
        return None
    _end(worker)
    return worker.pid


def _check_not_joined(home: HomeLayout) -> None:
    worker = read_worker_file(home)
    if worker is not None and worker.is_alive:
        raise ConflictError(
            f"this machine is already a node of {worker.address} (process {worker.pid})",
            hint="end it with: pouw down",
            code="joined",
        )


def _command(address: str, node_ip: str | None, cpus: int | None) -> list[str]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", "--block"]
    command += [f"--node-ip-address={node_ip}"] if node_ip else []
    return command + ([f"--num-cpus={cpus}"] if cpus is not None else [])


def _explain(home: HomeLayout, address: str, offset: int) -> ClusterError:
    log = last_lines(home.worker_log, offset, count=_ALL)
    if _REFUSED in log:
        return NotAuthorisedError(
            f"the site at {address} does not accept this Ray token",
            hint=f"copy the file site/ray-token of the site's home to {home.ray_token} (mode 600)",
            code="ray-token",
        )
    reason = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    return UnreachableError(
        f"this machine could not join {address}: {reason[:_LONGEST]}",
        hint=f"check the address and the network; the whole log is {home.worker_log}",
        code="join",
    )


def _has_started(home: HomeLayout, offset: int) -> bool:
    return _STARTED in last_lines(home.worker_log, offset, count=_ALL)


def _end(mark: ProcessMark) -> None:
    terminate(mark)
    if not wait_until(lambda: not mark.is_alive, LEAVE_TIMEOUT_S):
        kill_group(mark)
