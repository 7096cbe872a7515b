"""Whether this machine can run a site, and how to mend what keeps it from doing so. Changes nothing."""

import importlib.metadata
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cluster.client.connection import connect
from cluster.config import HomeLayout, read_site_file
from cluster.errors import ClusterError
from cluster.launch.checks import CheckView
from cluster.launch.node_checks import check_node
from cluster.launch.ports import is_port_free
from cluster.launch.processor import CPUINFO, can_run
from cluster.launch.resources import GIGABYTE, LEAST_DISK, LEAST_MEMORY, available_memory, disk_place
from cluster.settings import DEFAULT_PORT
from cluster.views import View
from jobs.determinism import AVX512, PORTABLE

PINS: Final = {"torch": "2.13.0", "ray": "2.60.0"}
"""The exact versions that decide the bits and move them; the same as in the package's own requirements."""
_PYTHON: Final = (3, 11)
_EARLIEST_S: Final = 1_767_225_600
"""2026-01-01: a clock before this program was written is wrong."""
_FUTURE_MS: Final = 10_000
_OTHERS: Final = 0o077
_CLIENT_TIMEOUT_S: Final = 5.0
_NODES_TIMEOUT_S: Final = 120.0


class DoctorView(View, frozen=True):
    """All checks."""

    ok: bool
    checks: tuple[CheckView, ...]


def run_checks(home: HomeLayout) -> Iterator[CheckView]:
    """Every check in turn; the slow ones come last."""
    yield check_python()
    for name in PINS:
        yield check_package(name)
    yield check_processor()
    yield check_memory()
    yield check_disk(home)
    yield check_modes(home)
    yield check_clock(time.time())  # noqa: TID251 - the edge: the clock itself is what is looked at
    yield check_port(home)
    yield check_gateway(home)
    yield from check_nodes(home)
    yield check_replay()
    yield check_gpu()


def check_python() -> CheckView:
    """The Python version is part of what is tested together."""
    found = platform.python_version()
    fix = "" if sys.version_info[:2] == _PYTHON else "install pouw into a Python 3.11 environment"
    return CheckView(name="python", ok=not fix, detail=found, fix=fix)


def check_package(name: str, installed: Callable[[str], str] = importlib.metadata.version) -> CheckView:
    """A pinned package is there in exactly its version; build tags such as `+cpu` are left aside."""
    wanted = PINS[name]
    fix = f"pip install {name}=={wanted}"
    try:
        found = installed(name)
    except importlib.metadata.PackageNotFoundError:
        return CheckView(name=name, ok=False, detail="not installed", fix=fix)
    is_right = found.partition("+")[0] == wanted
    return CheckView(name=name, ok=is_right, detail=found, fix="" if is_right else fix)


def check_processor(cpuinfo: Path = CPUINFO) -> CheckView:
    """The default replay class needs AVX2; with AVX-512 there is a faster one."""
    is_portable = can_run(PORTABLE, cpuinfo)
    if is_portable is None:
        detail = f"{platform.machine()}: not known whether it has AVX2"
        return CheckView(name="processor", ok=True, detail=detail)
    if not is_portable:
        fix = "start the site with --replay-class native; only machines alike can then join and audit"
        return CheckView(name="processor", ok=False, detail="no AVX2", fix=fix)
    detail = "AVX2"
    if can_run(AVX512, cpuinfo):
        detail = "AVX2 and AVX-512: where all machines have both, pouw up --replay-class avx512 trains faster"
    return CheckView(name="processor", ok=True, detail=detail)


def check_memory() -> CheckView:
    """Ray, the roles and a small model fit."""
    available = available_memory()
    ok = available >= LEAST_MEMORY
    fix = "" if ok else "end other programs; a site needs 2 GB and a model's state several times over"
    return CheckView(name="memory", ok=ok, detail=f"{available / GIGABYTE:.1f} GB available", fix=fix)


def check_disk(home: HomeLayout) -> CheckView:
    """There is room for the chain, artifacts and Ray's spilled objects."""
    place = disk_place(home)
    free = shutil.disk_usage(place).free
    ok = free >= LEAST_DISK
    fix = "" if ok else f"make room, or set POUW_HOME to a folder on a larger disk than that of {place}"
    return CheckView(name="disk", ok=ok, detail=f"{free / GIGABYTE:.1f} GB free at {place}", fix=fix)


def check_modes(home: HomeLayout) -> CheckView:
    """Nobody else can read keys, tokens and passphrases."""
    secrets = [home.passphrase, home.token, home.ray_token, *home.keys.glob("*.pem"), *home.site_keys.glob("*.pem")]
    secrets += [*home.tls.glob("*.pem")]
    places = [home.keys, home.site, *secrets]
    open_ones = [place for place in places if place.exists() and stat.S_IMODE(place.stat().st_mode) & _OTHERS]
    if open_ones:
        fix = f"chmod go-rwx {' '.join(str(place) for place in open_ones)}"
        return CheckView(name="file modes", ok=False, detail=f"{len(open_ones)} open to others", fix=fix)
    return CheckView(name="file modes", ok=True, detail=f"private: {home.root}")


def check_clock(now_s: float) -> CheckView:
    """Headers carry times; a clock that is far off makes every block unacceptable."""
    ok = now_s >= _EARLIEST_S
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    return CheckView(name="clock", ok=ok, detail=shown, fix="" if ok else "set the clock, for example with NTP")


def check_port(home: HomeLayout) -> CheckView:
    """The usual port is free, or used by this home's own site."""
    site = read_site_file(home)
    if site is not None and site.is_alive:
        return CheckView(name="port", ok=True, detail=f"the site answers at {site.address}")
    free = is_port_free(DEFAULT_PORT)
    detail = f"{DEFAULT_PORT} is free" if free else f"{DEFAULT_PORT} is taken: pouw up takes another"
    return CheckView(name="port", ok=True, detail=detail)


def check_gateway(home: HomeLayout) -> CheckView:
    """A site that runs answers, accepts this home's token and is not ahead of this clock."""
    site = read_site_file(home)
    if site is None:
        return CheckView(name="gateway", ok=True, detail="no site is running")
    try:
        client = connect(home, {}, _CLIENT_TIMEOUT_S)
        chain = client.status().chain
        blocks = client.blocks(chain.height, 1) if chain.height else ()
    except ClusterError as error:
        fix = "pouw down, then pouw up" if not site.is_alive else error.hint
        return CheckView(name="gateway", ok=False, detail=error.message, fix=fix)
    now_ms = time.time() * 1000  # noqa: TID251 - the edge: compared with the chain's clock
    if any(block.time_ms > now_ms + _FUTURE_MS for block in blocks):
        return CheckView(name="gateway", ok=False, detail="the chain is ahead of this clock", fix="set the clock")
    return CheckView(name="gateway", ok=True, detail=f"{client.address}, height {chain.height}")


def check_nodes(home: HomeLayout) -> Iterator[CheckView]:
    """Every machine of a running site, looked at from within by the gateway."""
    site = read_site_file(home)
    if site is None or not site.is_alive:
        return
    try:
        nodes = connect(home, {}, _NODES_TIMEOUT_S).nodes()
    except ClusterError as error:
        yield CheckView(name="nodes", ok=False, detail=error.message, fix=error.hint or "see: pouw logs")
        return
    for node in nodes:
        yield from check_node(node)


def check_gpu() -> CheckView:
    """Which GPUs torch can use, and their driver. None is no fault: processors train too."""
    from jobs.machine import describe_gpus

    driver = Path("/proc/driver/nvidia/version")
    found = describe_gpus()
    if found:
        return CheckView(name="gpu", ok=True, detail="; ".join(found))
    if driver.exists():
        version = driver.read_text().partition("\n")[0]
        fix = "install the CUDA build of the pinned torch, made for this driver or an older one"
        return CheckView(name="gpu", ok=False, detail=f"a driver, but torch sees no GPU: {version}", fix=fix)
    return CheckView(name="gpu", ok=True, detail="none: the processor trains")


def check_replay() -> CheckView:
    """The process can be put into the portable replay class, and its kernels give the same bits twice."""
    from jobs import determinism
    from jobs.errors import DeterminismError

    try:
        determinism.configure(determinism.PORTABLE)
        first, second = determinism.self_test(), determinism.self_test()
    except (DeterminismError, ImportError, RuntimeError) as error:
        fix = "reinstall torch in the pinned version; do not import it before pouw does"
        return CheckView(name="replay", ok=False, detail=str(error), fix=fix)
    if first != second:
        fix = "this machine cannot be a miner or verifier: memory or processor may be faulty"
        return CheckView(name="replay", ok=False, detail="two runs differ", fix=fix)
    return CheckView(name="replay", ok=True, detail=f"self-test {first.hex()[:16]} ({os.cpu_count()} cores)")
