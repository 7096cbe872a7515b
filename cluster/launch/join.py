"""Make this machine a worker node of a site that runs elsewhere.

The node runs code for the site, and the site for it: both must be of one operator. So it needs Ray's token of that
site, which is handed over by hand (the file `site/ray-token` of the site's home). Everything that keeps the machine
from being of use is found before the node is started (`admission`); a failed attempt leaves no process and no record.
"""

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from cluster.config import HOME_VARIABLE, HomeLayout, ProcessMark, mark_process
from cluster.errors import ClusterError, ConflictError, NotAuthorisedError, UnreachableError, UsageError
from cluster.launch.admission import Admission, ask_admission
from cluster.launch.certificates import tls_environment
from cluster.launch.object_store import object_store_bytes
from cluster.launch.process import end_process, last_lines, spawn_detached, wait_until
from cluster.launch.ray_environment import authentication, ray_environment
from cluster.launch.resources import check_enough_disk, check_enough_memory
from cluster.launch.site_card import LABEL, ON_DEMAND_LABEL, refused_token
from cluster.secret_file import load_secret, make_private_folder, replace_secret
from cluster.views import View

RAY_TOKEN_VARIABLE: Final = "POUW_RAY_TOKEN"  # noqa: S105 - the name of a variable
ALREADY_JOINED: Final = "joined"
"""Code of the error that this home has a node, or a keeper that wants to start one again."""
JOIN_TIMEOUT_S: Final = 60.0
LEAVE_TIMEOUT_S: Final = 15.0
_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
_CHAIN: Final = re.compile(r"[0-9a-f]{64}")
_STARTED: Final = "Ray runtime started."
_IMPATIENT: Final = "timed out during startup"
_REFUSED: Final = "InvalidAuthToken"
_AT_ONCE: Final = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
"""A node that is told to leave leaves: Ray would wait for its actors, and miners never end by themselves."""
_ALL: Final = 1_000
_LONGEST: Final = 300


class WorkerFile(ProcessMark, frozen=True, kw_only=True):
    """The worker node of this home."""

    address: str
    """Ray address of the site."""
    folder: str = ""
    """Where the node's files are; goes with the node."""
    chain_id: str = ""
    """The chain of that site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How this machine takes part."""

    node_ip: str | None = None
    """Address under which the site reaches it; none: Ray finds out."""
    cpus: int | None = None
    """Cores to offer, and so miners it takes at most; none: all."""
    chain_id: str | None = None
    """The chain it is meant to work for; none: the one its home worked for before, else the site's."""
    is_on_demand: bool = False
    """Whether it is ended when no miner runs there, and so keeps nothing of others."""


class JoinView(View, frozen=True):
    """What `pouw join` did."""

    address: str
    pid: int
    log: str
    chain_id: str = ""


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
    options: NodeOptions | None = None,
    *,
    tick: Callable[[], None] | None = None,
    timeout_s: float = JOIN_TIMEOUT_S,
) -> JoinView:
    """Start a Ray worker node for the site at `address` (HOST:PORT) and return when it has joined.

    Raises:
        UsageError: not an address, not a chain id, or no site there.
        ConflictError: this home runs a worker node already; or the machine and the site do not fit together: versions,
            replay class, chain, too little memory or disk.
        NotAuthorisedError: the site does not accept the token.
        UnreachableError: nobody answers, or the node did not come up; says what Ray said last.
    """
    chosen = options or NodeOptions()
    if not _ADDRESS.fullmatch(address):
        raise UsageError(f"{address!r} is not HOST:PORT", hint="pouw up prints the address to join", code="address")
    make_private_folder(home.root)
    check_not_joined(home)
    check_enough_memory()
    check_enough_disk(home)
    access = {**authentication(token), **tls_environment(home)}
    admission = ask_admission(address, access, _expected_chain(home, chosen))
    node = _Node(home=home, address=address, token=token, options=chosen, admission=admission)
    worker = node.start_patiently(tick, timeout_s)
    replace_secret(home.worker_chain, admission.chain_id.encode() + b"\n")
    return JoinView(address=address, pid=worker.pid, log=str(home.worker_log), chain_id=admission.chain_id)


def _expected_chain(home: HomeLayout, options: NodeOptions) -> str | None:
    if options.chain_id is not None:
        if not _CHAIN.fullmatch(options.chain_id):
            raise UsageError(f"{options.chain_id[:80]!r} is not a chain id: 64 hexadecimal digits", code="chain-id")
        return options.chain_id
    return home.worker_chain.read_text().strip() if home.worker_chain.exists() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A node that is about to be started."""

    home: HomeLayout
    address: str
    token: str
    options: NodeOptions
    admission: Admission

    def start_patiently(self, tick: Callable[[], None] | None, timeout_s: float) -> WorkerFile:
        """As `start`; once more where Ray's own patience of 30 s was too short for a busy machine."""
        try:
            return self.start(tick, timeout_s)
        except UnreachableError as error:
            if _IMPATIENT not in error.message:
                raise
        return self.start(tick, timeout_s)

    def start(self, tick: Callable[[], None] | None, timeout_s: float) -> WorkerFile:
        """Start it and wait until it has joined; one that does not is ended again."""
        home = self.home
        offset = home.worker_log.stat().st_size if home.worker_log.exists() else 0
        folder = tempfile.mkdtemp(prefix="pouw-")
        command = _command(self.address, self.options, folder, self.admission.label)
        worker = spawn_detached(command, home.worker_log, self._environment())
        mark = mark_process(worker.pid)
        record = WorkerFile(
            pid=mark.pid,
            create_time=mark.create_time,
            address=self.address,
            folder=folder,
            chain_id=self.admission.chain_id,
        )
        replace_secret(home.worker_file, msgspec.json.encode(record))
        has_joined = False
        try:
            wait_until(lambda: worker.has_ended() or _has_started(home, offset), timeout_s, tick)
            has_joined = not worker.has_ended() and _has_started(home, offset)
        finally:
            if not has_joined:
                _end(record)
                worker.has_ended()
                home.worker_file.unlink(missing_ok=True)
        if not has_joined:
            raise _explain(home, self.address, offset)
        return record

    def _environment(self) -> dict[str, str]:
        """Miners on the node take its own home for their keys and logs."""
        tls = tls_environment(self.home)
        variables = ray_environment(self.token, self.admission.replay_class)
        return {**variables, "PYTHONUNBUFFERED": "1", HOME_VARIABLE: str(self.home.root), **_AT_ONCE, **tls}


def leave_site(home: HomeLayout) -> int | None:
    """End this home's worker node and return its process id, or None if none was running."""
    worker = read_worker_file(home)
    if worker is None:
        return None
    was_there = worker.is_alive or bool(_leftovers(worker))
    _end(worker)
    home.worker_file.unlink(missing_ok=True)
    return worker.pid if was_there else None


def check_not_joined(home: HomeLayout) -> None:
    """Raises ConflictError: this home runs a worker node already."""
    worker = read_worker_file(home)
    if worker is not None and worker.is_alive:
        raise ConflictError(
            f"this machine is already a node of {worker.address} (process {worker.pid})",
            hint="end it with: pouw down",
            code=ALREADY_JOINED,
        )


def _command(address: str, options: NodeOptions, folder: str, label: str) -> list[str]:
    command = [sys.executable, "-m", "cluster.launch.ray_node", f"--folder={folder}"]
    command += [f"--cpus={options.cpus}"] if options.cpus is not None else []
    labels = f"{LABEL}={label}" + (f",{ON_DEMAND_LABEL}=true" if options.is_on_demand else "")
    command += ["--", f"--address={address}", "--block", f"--labels={labels}"]
    command += [f"--object-store-memory={object_store_bytes()}"]
    command += [f"--node-ip-address={options.node_ip}"] if options.node_ip else []
    return command


def _explain(home: HomeLayout, address: str, offset: int) -> ClusterError:
    log = last_lines(home.worker_log, offset, count=_ALL)
    if _REFUSED in log:
        return refused_token(address)
    reason = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    return UnreachableError(
        f"this machine could not join {address}: {reason[:_LONGEST]}",
        hint=f"check the address and the network; the whole log is {home.worker_log}",
        code="join",
    )


def _has_started(home: HomeLayout, offset: int) -> bool:
    return _STARTED in last_lines(home.worker_log, offset, count=_ALL)


def _end(worker: WorkerFile) -> None:
    """End the node: first by asking its first process, which ends the others; then whatever of it is left."""
    end_process(worker, LEAVE_TIMEOUT_S)
    for pid in _leftovers(worker):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _leftovers(worker), LEAVE_TIMEOUT_S)  # killed is not yet gone
    if worker.folder:
        shutil.rmtree(worker.folder, ignore_errors=True)


def _leftovers(worker: WorkerFile) -> list[int]:
    """Processes of a node whose first process was killed: of its session, and started with its folder."""
    import psutil

    if worker.is_alive or not worker.folder:
        return []
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == worker.pid and worker.folder in " ".join(process.cmdline()):
                found.append(process.pid)
        except (psutil.Error, ProcessLookupError):
            continue  # it has ended meanwhile
    return found
