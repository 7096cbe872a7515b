"""Stop the site of a home: ask it, then insist, then end it. Touches no process that is not provably the site's."""

from collections.abc import Callable
from typing import Final

from cluster.config import HomeLayout, ProcessMark, SiteFile, read_site_file, remove_site_file
from cluster.errors import ClusterError
from cluster.launch.lock import site_lock
from cluster.launch.process import kill_group, terminate, wait_until
from cluster.launch.staying import leave
from cluster.views import View

ASK_TIMEOUT_S: Final = 60.0
TERMINATE_TIMEOUT_S: Final = 20.0
KILL_TIMEOUT_S: Final = 10.0


class WorkerDown(View, frozen=True):
    """One machine that `pouw up cluster.yaml` had made a node."""

    address: str
    pid: int | None = None
    """The node that ended there; None if none was running."""
    error: str = ""
    """Why it could not be ended."""


class DownView(View, frozen=True):
    """What `pouw down` did."""

    stopped: bool
    """Whether a site was running and is not any more."""
    how: str = ""
    """`asked`, `terminated` or `killed`."""
    pid: int | None = None
    """The background process that ended."""
    worker_pid: int | None = None
    """The worker node of this home (`pouw join`) that ended."""
    workers: tuple[WorkerDown, ...] = ()
    """The nodes on other machines that were started with this site."""


def stop_site(
    home: HomeLayout,
    ask: Callable[[SiteFile], None],
    *,
    tick: Callable[[], None] | None = None,
    ask_timeout_s: float = ASK_TIMEOUT_S,
    terminate_timeout_s: float = TERMINATE_TIMEOUT_S,
) -> DownView:
    """End the site and the worker node of this home, if there are any. `ask` tells the gateway to shut down.

    Raises:
        ConflictError: another command is starting or stopping it.
        ClusterError: it is still there after being killed.
    """
    if not home.site.exists():
        return DownView(stopped=False, worker_pid=leave(home))
    with site_lock(home):
        worker_pid = leave(home)
        site = read_site_file(home)
        if site is None or not site.is_alive:
            remove_site_file(home)
            return DownView(stopped=False, worker_pid=worker_pid)
        how = _end(site, ask, tick, ask_timeout_s, terminate_timeout_s)
        remove_site_file(home)
        return DownView(stopped=True, how=how, pid=site.pid, worker_pid=worker_pid)


def _end(
    site: SiteFile,
    ask: Callable[[SiteFile], None],
    tick: Callable[[], None] | None,
    ask_timeout_s: float,
    terminate_timeout_s: float,
) -> str:
    if _is_asked(site, ask) and _is_gone(site, ask_timeout_s, tick):
        return "asked"
    terminate(site)
    if _is_gone(site, terminate_timeout_s, tick):
        return "terminated"
    kill_group(site)
    if not _is_gone(site, KILL_TIMEOUT_S, tick):
        raise ClusterError(f"process {site.pid} does not end", hint="it may wait for a disk; look at it with ps")
    return "killed"


def _is_asked(site: SiteFile, ask: Callable[[SiteFile], None]) -> bool:
    try:
        ask(site)
    except ClusterError:
        return False  # whatever the reason, the next step is to insist
    return True


def _is_gone(mark: ProcessMark, timeout_s: float, tick: Callable[[], None] | None) -> bool:
    return wait_until(lambda: not mark.is_alive, timeout_s, tick)
