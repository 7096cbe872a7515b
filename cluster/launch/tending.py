"""What the host process does while its site runs: watches over the gateway, and over Ray's own processes.

The gateway tends every other role; a frozen one is killed here, Ray starts it again, and here it is told to serve.
Ray's control service can be started again if it keeps its tables on disk. When another of Ray's processes is gone, the
host ends, and its keeper starts the site anew.
"""

import asyncio
import logging
import secrets
import threading
import time
from pathlib import Path
from typing import Final

import psutil
import ray

from cluster.actors.names import GATEWAY
from cluster.actors.remote import Handle, cause_of
from cluster.actors.vigil import Change, Gone, Vigil
from cluster.config import ProcessMark, mark_process
from cluster.control.heartbeats import Heard, Patience
from cluster.launch.autoscaling import has_autoscaler_ended, start_autoscaler
from consensus.primitives.integers import Digest

_GATEWAY: Final = Patience(silent_s=2.5, dead_s=8.0)
_LOOK_S: Final = 0.5
_RETRY_S: Final = 1.0
_AUTOSCALER_S: Final = 10.0
_GCS: Final = "gcs_server"
_DAEMONS: Final = ("raylet", _GCS)
_DRAWN_BYTES: Final = 32

_log = logging.getLogger("pouw.host")


def tend_until(
    stop: threading.Event,
    gateway: Handle,
    chain_id: Digest,
    autoscaler: Path | None = None,
    *,
    can_restart_gcs: bool = False,
) -> bool:
    """Tend a running site. Returns True when `stop` is set, False when the site cannot go on as it is.

    `autoscaler`: the configuration of the one that runs, if one does.
    """
    return asyncio.run(_Tending(gateway, chain_id, autoscaler, can_restart_gcs=can_restart_gcs).run(stop))


class _Tending:
    def __init__(self, gateway: Handle, chain_id: Digest, autoscaler: Path | None, *, can_restart_gcs: bool) -> None:
        self._gateway, self._autoscaler, self._can_restart_gcs = gateway, autoscaler, can_restart_gcs
        self._looked_s = time.monotonic()
        self._vigil = Vigil(
            chain_id=chain_id, watch=Digest(secrets.token_bytes(_DRAWN_BYTES)), on_change=self._on_change
        )
        self._has_gateway = True
        self._starting: set[asyncio.Task[None]] = set()

    async def run(self, stop: threading.Event) -> bool:
        daemons = _ray_daemons()
        self._vigil.begin(GATEWAY, self._gateway, _GATEWAY, is_at_home=True)
        watching = asyncio.create_task(self._vigil.run())
        try:
            while not stop.is_set():
                lost = [name for name, mark in daemons.items() if not mark.is_alive]
                if lost == [_GCS] and self._can_restart_gcs:
                    _restart_gcs()
                    daemons = _ray_daemons()
                    continue
                if lost or not self._has_gateway or watching.done():
                    _log.error("the site is started again: %s is gone", " and ".join(lost) or GATEWAY)
                    return False
                self._tend_autoscaler()
                await asyncio.sleep(_LOOK_S)
            return True
        finally:
            watching.cancel()

    def _tend_autoscaler(self) -> None:
        if self._autoscaler is None or time.monotonic() - self._looked_s < _AUTOSCALER_S:
            return
        self._looked_s = time.monotonic()
        if has_autoscaler_ended():
            _log.warning("Ray's autoscaler had ended and is started again")
            start_autoscaler(self._autoscaler)

    def _on_change(self, change: Change) -> None:
        match change:
            case Heard() if not self._starting:
                task = asyncio.create_task(self._serve())
                self._starting.add(task)
                task.add_done_callback(self._starting.discard)
            case Gone():
                self._has_gateway = False

    async def _serve(self) -> None:
        """A gateway that was started again does not serve before it is told to; one that does takes no notice."""
        while True:
            try:
                await self._gateway.start.remote()
            except ray.exceptions.RayError as error:
                _log.warning("the gateway does not serve: %s", cause_of(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return


def _restart_gcs() -> None:
    """Ray's control service again, at its address and with its tables. Ray has no public call for it."""
    node = ray._private.worker._global_node  # noqa: SLF001
    node.kill_gcs_server(check_alive=False)
    node.start_gcs_server()
    _log.warning("Ray's control service had ended and was started again")


def _ray_daemons() -> dict[str, ProcessMark]:
    """Ray's own processes, children of this one."""
    return {child.name(): mark_process(child.pid) for child in psutil.Process().children() if child.name() in _DAEMONS}
