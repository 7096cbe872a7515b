"""What `up`, `down` and `demo` share: the words about a site that started or stopped, and the request to stop."""

from collections.abc import Callable
from typing import Final

from cluster.cli.output import clean, say
from cluster.client.connection import connect
from cluster.config import HomeLayout, SiteFile
from cluster.launch.down import DownView
from cluster.settings import WorkerHosts
from cluster.views import UpView

_ASK_TIMEOUT_S: Final = 10.0


def view_of(site: SiteFile, home: HomeLayout, hosts: WorkerHosts | None = None) -> UpView:
    """What `pouw up` tells about a site."""
    return UpView(
        address=site.address,
        dashboard=site.dashboard,
        miners=site.miners,
        supervisors=site.supervisors,
        home=str(home.root),
        ray_address=site.ray_address,
        chain_id=site.chain_id,
        workers=hosts.first if hosts else (),
        on_demand=hosts.on_demand if hosts else (),
    )


def print_up(view: UpView) -> None:
    """A site that is ready, and what to do with it."""
    say(f"the site is up at {view.address} with {view.miners} miners and {view.supervisors} supervisors")
    if view.dashboard:
        say(f"dashboard     {view.dashboard}")
    if view.workers:
        say(f"workers       {', '.join(view.workers)}")
    if view.on_demand:
        say(f"on demand     {', '.join(view.on_demand)}")
    say(f"home          {view.home}")
    if view.ray_address:
        say(f"add machines  pouw join {view.ray_address} --chain {view.chain_id}")
    say("next          pouw submit FILE, pouw status, pouw down")


def ask_to_stop(home: HomeLayout) -> Callable[[SiteFile], None]:
    """How to ask the gateway of this home to shut down, whatever site the environment names."""

    def ask(_site: SiteFile) -> None:
        connect(home, {}, _ASK_TIMEOUT_S).shutdown()

    return ask


def print_down(view: DownView) -> None:
    """What was ended."""
    if view.stopped:
        ways = {"asked": "stopped", "terminated": "ended by signal", "killed": "killed, it did not answer"}
        say(f"the site is down (process {view.pid} {ways[view.how]})")
    else:
        say("no site was running")
    for worker in view.workers:
        words = worker.error or (f"ended (process {worker.pid})" if worker.pid else "had no node any more")
        say(f"worker {worker.address}: {clean(words)}")
    if view.worker_pid is not None:
        say(f"the worker node is down (process {view.worker_pid})")
