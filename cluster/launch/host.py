"""The background process of a site: starts a private Ray, the site's first actors, and ends all of it when told to.

Ray's processes are children of this one and end with it, even if it is killed. Nothing else runs here.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from cluster.config import (
    HOME_VARIABLE,
    HomeLayout,
    SiteFile,
    mark_process,
    read_site_file,
    remove_site_file,
    write_site_file,
)
from cluster.errors import ClusterError
from cluster.launch.autoscaling import choose_config, replace_monitors
from cluster.launch.certificates import tls_environment
from cluster.launch.forking import RAY_FOLDER, fork_server, workers_of
from cluster.launch.object_store import object_store_bytes
from cluster.launch.ports import is_port_free
from cluster.launch.ray_environment import ray_environment
from cluster.secret_file import load_or_create_token, replace_secret
from cluster.settings import SiteSettings
from cluster.views import ErrorView
from consensus.records.genesis import Genesis
from jobs.errors import JobError
from storage.errors import StorageError, StorageLockedError

_LOGICAL_CPUS: Final = 4096
"""Ray counts processors only to place actors; a site places as many miners as it is told to."""
_READY_S: Final = 120.0
_UNLOCKED_S: Final = 20.0
_UNLOCKED_STEP_S: Final = 0.5
RAY_LOST: Final = 75
"""Exit status: Ray's processes or the gateway are gone for good, the site has to be started anew."""

_log = logging.getLogger("pouw.host")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a site until SIGTERM or SIGINT. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cluster.launch.host")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--keeper", type=int, required=True, help="runs this one, and holds the other end of stdin")
    parser.add_argument("--folder", type=Path, required=True, help="for this run, nobody else's")
    options = parser.parse_args(arguments)
    home = HomeLayout(root=options.home)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.umask(0o077)  # whatever a role writes, its logs included, is for the operator only
    stop = _stop_event()
    threading.Thread(target=_stop_with_keeper, args=(stop,), daemon=True).start()
    try:
        settings = msgspec.json.decode(options.settings.read_bytes(), type=SiteSettings)
        with ExitStack() as running:
            running.callback(shutil.rmtree, options.folder, ignore_errors=True)  # the keeper may be gone
            autoscaler = choose_config(home, settings, options.folder)
            genesis = _start(home, settings, running, options.folder, first_pid=options.keeper, autoscaler=autoscaler)
            if not _tend(stop, genesis, autoscaler, can_restart_gcs=settings.gcs_storage == "rocksdb"):
                os._exit(RAY_LOST)  # nothing can be shut down in order any more
    except (ClusterError, StorageError, JobError) as error:
        _log.exception("the site could not be started")
        hint = error.hint if isinstance(error, ClusterError) else ""
        view = ErrorView(error=str(error), code=getattr(error, "code", "failed"), hint=hint)
        replace_secret(home.host_error, msgspec.json.encode(view))
        return 1
    _log.info("stopped")
    return 0


def _stop_event() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _stop_with_keeper(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


def _tend(stop: threading.Event, genesis: Genesis, autoscaler: Path | None, *, can_restart_gcs: bool) -> bool:
    from cluster.launch.tending import tend_until

    return tend_until(stop, _HANDLES[-1], genesis.chain_id, autoscaler, can_restart_gcs=can_restart_gcs)


def _control_service(home: HomeLayout, settings: SiteSettings, folder: Path) -> dict[str, str]:
    """Where Ray's control service listens, the same as before after a restart, and where it keeps its tables."""
    before = read_site_file(home)
    port = before.ray_address.rpartition(":")[2] if before is not None else str(settings.ray_port)
    kept = {"RAY_GCS_SERVER_PORT": port} if is_port_free(int(port), settings.node_ip) else {}
    if settings.gcs_storage == "rocksdb":
        tables = folder / "control-service"
        tables.mkdir()
        kept |= {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(tables)}
    return kept


def _start(
    home: HomeLayout,
    settings: SiteSettings,
    running: ExitStack,
    folder: Path,
    *,
    first_pid: int,
    autoscaler: Path | None,
) -> Genesis:
    """Bring the site up. `first_pid`: the process that stands for the site."""
    from cluster.wiring import create_chain

    home.create()
    genesis = _when_unlocked(lambda: create_chain(home, settings))
    _set_environment(home, settings)
    import ray

    os.environ.update(_control_service(home, settings, folder))
    with workers_of(running.enter_context(fork_server(folder))):
        context = ray.init(
            address="local",
            namespace="pouw",
            num_cpus=_LOGICAL_CPUS,
            object_store_memory=object_store_bytes(),
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=str(folder / RAY_FOLDER),
            _node_ip_address=settings.node_ip,
        )
    running.callback(ray.shutdown)
    replace_monitors(autoscaler)
    port = _start_actors(home, settings, genesis)
    running.callback(remove_site_file, home)
    mark = mark_process(first_pid)
    site = SiteFile(
        pid=mark.pid,
        create_time=mark.create_time,
        address=f"http://127.0.0.1:{port}",
        ray_address=str(context.address_info["gcs_address"]),
        dashboard="",
        miners=settings.miners,
        supervisors=1,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        ready=True,
        chain_id=genesis.chain_id.hex(),
    )
    write_site_file(home, site)
    _log.info("the site answers at %s", site.address)
    return genesis


def _when_unlocked(open_chain: Callable[[], Genesis]) -> Genesis:
    """Open the chain; after a crash the processes of the site before may hold it for some seconds more.

    Raises:
        StorageLockedError: somebody still holds it.
    """
    deadline_s = time.monotonic() + _UNLOCKED_S
    while True:
        try:
            return open_chain()
        except StorageLockedError:
            if time.monotonic() > deadline_s:
                raise
            _log.info("waiting for processes of the site before to end")
            time.sleep(_UNLOCKED_STEP_S)


def _set_environment(home: HomeLayout, settings: SiteSettings) -> None:
    """Ray's token, the replay class that torch reads when a worker imports it, and the home; workers inherit all."""
    os.environ[HOME_VARIABLE] = str(home.root)
    os.environ.update(ray_environment(load_or_create_token(home.ray_token), settings.replay_class))
    os.environ.update(tls_environment(home))


def _start_actors(home: HomeLayout, settings: SiteSettings, genesis: Genesis) -> int:
    """Start supervisor, verifier and gateway; returns the gateway's port when it serves."""
    import ray

    from cluster.actors.gateway import Gateway
    from cluster.actors.names import GATEWAY, SUPERVISOR, VERIFIER
    from cluster.actors.remote import spawn
    from cluster.actors.supervisor import Supervisor
    from cluster.actors.verifier import Verifier
    from cluster.launch.site_card import describe_site, publish_card

    folder = str(home.root)
    supervisor = spawn(Supervisor, SUPERVISOR, options=Supervisor.OPTIONS, home=folder)
    verifier = spawn(Verifier, VERIFIER, options=Verifier.OPTIONS, home=folder, chain_id=genesis.chain_id)
    gateway = spawn(
        Gateway,
        GATEWAY,
        options=Gateway.OPTIONS,
        home=folder,
        chain_id=genesis.chain_id,
        params=genesis.params,
        head_use=settings.head_miners,
    )
    _HANDLES.extend([supervisor, verifier, gateway])
    machine, _ = ray.get([verifier.machine.remote(settings.replay_class), supervisor.start.remote()], timeout=_READY_S)
    publish_card(describe_site(genesis.chain_id, machine))
    return int(ray.get(gateway.start.remote(), timeout=_READY_S))


_HANDLES: Final[list[object]] = []
"""Actors end when the last handle of their owner goes."""

if __name__ == "__main__":
    sys.exit(main())
