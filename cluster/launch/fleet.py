"""A site on several machines: the head here, worker nodes over ssh; all of it comes up, or nothing stays.

Ray's own launcher starts workers by a monitor on the head that holds the ssh keys, knows no token and begins with
`ray stop` on every machine (docs/adr/0011-own-launcher.md). Here the machine that runs `pouw up` reaches the others, as
its user could by hand: `pouw join` there, and `pouw down --node` at the end, which ends nothing else.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from cluster.config import HomeLayout, SiteFile, read_site_file
from cluster.errors import ClusterError
from cluster.launch.certificates import Credentials, issue
from cluster.launch.down import DownView, WorkerDown, stop_site
from cluster.launch.join import JoinView
from cluster.launch.lock import fleet_lock
from cluster.launch.resources import check_enough_for_miners
from cluster.launch.ssh import Machine
from cluster.launch.up import start_site
from cluster.secret_file import load_or_create_token, replace_secret
from cluster.settings import SiteSettings, WorkerHosts
from cluster.views import View

_LOOK_S: Final = 60.0
_JOIN_S: Final = 240.0
_LEAVE_S: Final = 90.0
_AT_ONCE: Final = 32
Result = TypeVar("Result")
Tick = Callable[[], None] | None
Ask = Callable[[SiteFile], None]


class _Found(View, frozen=True):
    version: str


def start_fleet(home: HomeLayout, settings: SiteSettings, hosts: WorkerHosts | None, ask: Ask, tick: Tick) -> SiteFile:
    """Start the head here and a node on every machine of `hosts`; returns when all have joined.

    Raises:
        ClusterError: a machine cannot be reached, does not fit, or did not join; or as `start_site`. Everything that
            was started is ended again.
    """
    if hosts is None:
        if settings.head_miners != "never":
            check_enough_for_miners(settings.miners)
        return start_site(home, settings, tick=tick)
    hosts = msgspec.structs.replace(hosts, is_encrypted=settings.tls)
    machines = [Machine(address=address, hosts=hosts) for address in hosts.addresses]
    _end_earlier(home)
    _raise_first(_on_all(machines, lambda machine: machine.pouw("version", _Found, timeout_s=_LOOK_S)))
    site = start_site(home, settings, hosts, tick=tick)
    try:
        _join_all(home, site, machines[: len(hosts.first)])
    except BaseException:
        stop_fleet(home, ask)
        raise
    return site


def stop_fleet(home: HomeLayout, ask: Ask, tick: Tick = None) -> DownView:
    """Stop the site of this home, and the worker nodes that `start_fleet` made. What does not answer is reported."""
    view = stop_site(home, ask, tick=tick)
    return msgspec.structs.replace(view, workers=_end_workers(home))


def join_worker(home: HomeLayout, site: SiteFile, machine: Machine, *, is_on_demand: bool = False) -> JoinView:
    """Make a machine a node of the site of this home; one on demand is ended again when no miner runs there.

    Raises:
        ClusterError: it cannot be reached, does not fit, or did not join.
    """
    token = load_or_create_token(home.ray_token)
    arguments = f"join {site.ray_address} --node-ip {machine.address} --chain {site.chain_id} --token-stdin"
    arguments += " --on-demand" if is_on_demand else ""
    now = datetime.now(UTC)
    given = issue(home, machine.address, token, now) if machine.hosts.is_encrypted else Credentials(token=token)
    secret = msgspec.json.encode(given).decode() + "\n"
    return machine.pouw(arguments, JoinView, secret=secret, timeout_s=_JOIN_S)


def end_worker(machine: Machine) -> DownView:
    """End the node on a machine, and nothing else there. Raises ClusterError."""
    return machine.pouw("down --node", DownView, timeout_s=_LEAVE_S)


def joined_workers(home: HomeLayout) -> tuple[str, ...]:
    """Addresses of the machines that were made nodes of this site, and not ended since."""
    hosts = _started_workers(home)
    return () if hosts is None else hosts.addresses


def note_joined(home: HomeLayout, machine: Machine) -> None:
    """Note that a machine is a node of this site, for whoever ends it."""
    with fleet_lock(home):
        _record_joined(home, machine.hosts, {*joined_workers(home), machine.address})


def note_left(home: HomeLayout, machine: Machine) -> None:
    """Note that a machine is no node of this site any more."""
    with fleet_lock(home):
        _record_joined(home, machine.hosts, {*joined_workers(home)} - {machine.address})


def _record_joined(home: HomeLayout, hosts: WorkerHosts, joined: Iterable[str]) -> None:
    addresses = tuple(sorted(joined))
    if addresses:
        replace_secret(home.fleet_file, msgspec.json.encode(msgspec.structs.replace(hosts, addresses=addresses)))
    else:
        home.fleet_file.unlink(missing_ok=True)


def _end_earlier(home: HomeLayout) -> None:
    """Workers of a site that is not there any more, so that they can join the new one."""
    site = read_site_file(home)
    if site is None or not site.is_alive:
        _end_workers(home)


def _end_workers(home: HomeLayout) -> tuple[WorkerDown, ...]:
    hosts = _started_workers(home)
    if hosts is None:
        return ()
    machines = [Machine(address=address, hosts=hosts) for address in hosts.addresses]
    ended = _on_all(machines, end_worker)
    workers = tuple(
        WorkerDown(address=machine.address, error=str(found))
        if isinstance(found, ClusterError)
        else WorkerDown(address=machine.address, pid=found.worker_pid)
        for machine, found in zip(machines, ended, strict=True)
    )
    with fleet_lock(home):
        _record_joined(home, hosts, [worker.address for worker in workers if worker.error])
    return workers


def _join_all(home: HomeLayout, site: SiteFile, machines: list[Machine]) -> None:
    def join(machine: Machine) -> JoinView:
        view = join_worker(home, site, machine)
        note_joined(home, machine)  # not one that refused: it may be another site's node
        return view

    _raise_first(_on_all(machines, join))


def _on_all(machines: list[Machine], act: Callable[[Machine], Result]) -> list[Result | ClusterError]:
    """Do something on all machines at once; what went wrong comes back in its place."""

    def attempt(machine: Machine) -> Result | ClusterError:
        try:
            return act(machine)
        except ClusterError as error:
            return error

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(attempt, machines))


def _raise_first(results: Iterable[object]) -> None:
    errors = [result for result in results if isinstance(result, ClusterError)]
    if errors:
        raise errors[0]


def _started_workers(home: HomeLayout) -> WorkerHosts | None:
    try:
        hosts = msgspec.json.decode(home.fleet_file.read_bytes(), type=WorkerHosts)
    except FileNotFoundError:
        return None
    return hosts
