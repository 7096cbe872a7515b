"""A site on several machines: the head here, worker nodes over ssh; all of it comes up, or nothing stays.

Ray's own launcher starts workers by a monitor on the head that holds the ssh keys, knows no token and begins with
`ray stop` on every machine (docs/adr/0011-own-launcher.md). Here the machine that runs `pouw up` reaches the others, as
its user could by hand: `pouw join` there, and `pouw down --node` at the end, which ends nothing else.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from cluster.config import HomeLayout, SiteFile, read_site_file
from cluster.errors import ClusterError
from cluster.launch.certificates import Credentials, issue
from cluster.launch.down import DownView, WorkerDown, stop_site
from cluster.launch.join import ALREADY_JOINED, JoinView
from cluster.launch.lock import fleet_lock
from cluster.launch.resources import check_enough_for_miners
from cluster.launch.ssh import SSH_FAILED, Machine
from cluster.launch.up import start_site
from cluster.secret_file import load_or_create_token, replace_secret
from cluster.settings import SiteSettings, WorkerHosts
from cluster.views import View

_LOOK_S: Final = 60.0
_JOIN_S: Final = 240.0
_LEAVE_S: Final = 90.0
_AT_ONCE: Final = 32
Kind = TypeVar("Kind")
Result = TypeVar("Result")
Tick = Callable[[], None] | None
Ask = Callable[[SiteFile], None]


class _Found(View, frozen=True):
    version: str
    cores: int = 1


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
    _end_earlier(home)
    found = _raise_first(_on_all(_machines(hosts, hosts.addresses), look_at))
    if hosts.on_demand:
        hosts = _with_places(hosts, min(machine.cores for machine in found))
        miners = max(settings.autoscaled_miners, hosts.places * len(hosts.addresses))
        settings = msgspec.structs.replace(settings, autoscaled_miners=miners)
    site = start_site(home, settings, hosts, tick=tick)
    try:
        _raise_first(_on_all(_machines(hosts, hosts.first), lambda machine: join_worker(home, site, machine)))
    except BaseException:
        stop_fleet(home, ask)
        raise
    return site


def stop_fleet(home: HomeLayout, ask: Ask, tick: Tick = None) -> DownView:
    """Stop the site of this home, and the worker nodes that `start_fleet` made. What does not answer is reported."""
    view = stop_site(home, ask, tick=tick)
    return msgspec.structs.replace(view, workers=_end_workers(home))


def _machines(hosts: WorkerHosts, addresses: Iterable[str]) -> list[Machine]:
    return [Machine(address=address, hosts=hosts) for address in addresses]


def look_at(machine: Machine) -> _Found:
    """Whether a machine can be reached and has pouw. Raises ClusterError."""
    return machine.pouw("version", _Found, timeout_s=_LOOK_S)


def join_worker(home: HomeLayout, site: SiteFile, machine: Machine) -> JoinView:
    """Make a machine a node of the site of this home; one on demand is ended again when no miner runs there.

    It is noted before, so that whoever ends the site ends this node too, whatever happens in between. One that answers
    that it did not join is forgotten again; not one whose answer did not come, or that has joined a site already: it
    may be this one.

    Raises:
        ClusterError: it cannot be reached, does not fit, or did not join.
    """
    hosts = msgspec.structs.replace(machine.hosts, chain_id=site.chain_id)
    token = load_or_create_token(home.ray_token)
    arguments = f"join {site.ray_address} --node-ip {machine.address} --chain {site.chain_id} --token-stdin"
    arguments += f" --cpus {hosts.places}" if hosts.on_demand else ""
    arguments += " --on-demand" if machine.address in hosts.on_demand else ""
    now = datetime.now(UTC)
    given = issue(home, machine.address, token, now) if hosts.is_encrypted else Credentials(token=token)
    secret = msgspec.json.encode(given).decode() + "\n"
    _note(home, hosts, machine.address, is_node=True)
    try:
        return machine.pouw(arguments, JoinView, secret=secret, timeout_s=_JOIN_S)
    except ClusterError as error:
        if error.code not in (SSH_FAILED, ALREADY_JOINED):
            _note(home, hosts, machine.address, is_node=False)
        raise


def end_worker(home: HomeLayout, address: str) -> DownView:
    """End the node of this home's chain on a machine that was made one, and nothing else there. Raises ClusterError."""
    hosts = started_workers(home)
    if hosts is None or address not in hosts.addresses:
        return DownView(stopped=False)
    arguments = "down --node" + (f" --chain {hosts.chain_id}" if hosts.chain_id else "")
    view = Machine(address=address, hosts=hosts).pouw(arguments, DownView, timeout_s=_LEAVE_S)
    _note(home, hosts, address, is_node=False)
    return view


def started_workers(home: HomeLayout) -> WorkerHosts | None:
    """The machines that were made nodes of this site, and not ended since; None if there are none."""
    try:
        return msgspec.json.decode(home.fleet_file.read_bytes(), type=WorkerHosts)
    except FileNotFoundError:
        return None


def joined_workers(home: HomeLayout) -> tuple[str, ...]:
    """Their addresses."""
    hosts = started_workers(home)
    return () if hosts is None else hosts.addresses


def _note(home: HomeLayout, hosts: WorkerHosts, address: str, *, is_node: bool) -> None:
    """Note that a machine is a node of this site, or is none any more."""
    with fleet_lock(home):
        others = {*joined_workers(home)} - {address}
        noted = tuple(sorted(others | {address} if is_node else others))
        if noted:
            replace_secret(home.fleet_file, msgspec.json.encode(msgspec.structs.replace(hosts, addresses=noted)))
        else:
            home.fleet_file.unlink(missing_ok=True)


def _end_earlier(home: HomeLayout) -> None:
    """Workers of a site that is not there any more, so that they can join the new one."""
    site = read_site_file(home)
    if site is None or not site.is_alive:
        _end_workers(home)


def _end_workers(home: HomeLayout) -> tuple[WorkerDown, ...]:
    addresses = joined_workers(home)
    ended = _on_all(addresses, lambda address: end_worker(home, address))
    return tuple(
        WorkerDown(address=address, error=str(found))
        if isinstance(found, ClusterError)
        else WorkerDown(address=address, pid=found.worker_pid)
        for address, found in zip(addresses, ended, strict=True)
    )


def _on_all(machines: Sequence[Kind], act: Callable[[Kind], Result]) -> list[Result | ClusterError]:
    """Do something on all machines at once; what went wrong comes back in its place."""
    if not machines:
        return []

    def attempt(machine: Kind) -> Result | ClusterError:
        try:
            return act(machine)
        except ClusterError as error:
            return error

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(attempt, machines))


def _raise_first(results: Iterable[Result | ClusterError]) -> list[Result]:
    """All results, if nothing went wrong; else the first error."""
    found: list[Result] = []
    for result in results:
        if isinstance(result, ClusterError):
            raise result
        found.append(result)
    return found


def _with_places(hosts: WorkerHosts, smallest: int) -> WorkerHosts:
    cpus = hosts.scaling.worker_cpus or smallest
    return msgspec.structs.replace(hosts, scaling=msgspec.structs.replace(hosts.scaling, worker_cpus=cpus))
