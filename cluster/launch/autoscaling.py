"""Ray's autoscaler for the machines of a cluster file that are not started at once.

The gateway asks it for places for miners (`cluster/actors/care`); it decides how many machines that takes and which
are idle, and `machine_provider` brings them up and ends them. Where another autoscaler runs Ray's nodes, such as
KubeRay's, the same requests go to that one, and nothing here is used.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from cluster.config import HomeLayout
from cluster.control.placement import PLACE
from cluster.errors import NotFoundError
from cluster.settings import SiteSettings, WorkerHosts
from cluster.views import JsonValue

HEAD: Final = "head"
FIRST: Final = "first"
WORKER: Final = "worker"
_PROVIDER: Final = "cluster.launch.machine_provider.MachineProvider"
"""Ray is imported there, and here only once its variables are set."""
_NOT_OURS: Final[dict[str, JsonValue]] = {
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
    "auth": {},
}
"""What Ray's autoscaler would do over its own ssh."""
_SILENCE: Final = "AUTOSCALER_HEARTBEAT_TIMEOUT_S"
_SILENCE_S: Final = "120"
"""A machine that is not heard of for so long is ended and joined anew; its own keeper comes back within a minute."""


def autoscaler_config(home: HomeLayout, hosts: WorkerHosts, head_ip: str) -> dict[str, JsonValue]:
    """The configuration of Ray's autoscaler."""
    count, first, more = len(hosts.addresses), len(hosts.first), len(hosts.on_demand)
    places: dict[str, JsonValue] = {"CPU": hosts.places, PLACE: hosts.places}
    return {
        **_NOT_OURS,
        "cluster_name": "pouw",
        "max_workers": count,
        "idle_timeout_minutes": hosts.idle_timeout_minutes,
        "upscaling_speed": float(count),
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"node_config": {}, "resources": {}, "min_workers": 0, "max_workers": 0},
            FIRST: {"node_config": {}, "resources": places, "min_workers": first, "max_workers": first},
            WORKER: {"node_config": {}, "resources": places, "min_workers": 0, "max_workers": more},
        },
        "provider": {
            "type": "external",
            "module": _PROVIDER,
            "home": str(home.root),
            "head_ip": head_ip,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "foreground_node_launch": True,
        },
    }


def choose_config(home: HomeLayout, settings: SiteSettings, folder: Path) -> Path | None:
    """The file that Ray's autoscaler is to read; None where no machine is brought up on demand.

    Raises:
        NotFoundError: the settings name a file that is not there.
    """
    if settings.autoscaler_config is not None:
        named = Path(settings.autoscaler_config).expanduser()
        if not named.is_file():
            raise NotFoundError(f"there is no autoscaler_config {named}", hint="ray up leaves one on a cloud's head")
        return named
    try:
        hosts = msgspec.json.decode(home.machines_file.read_bytes(), type=WorkerHosts)
    except FileNotFoundError:
        return None
    ours = folder / "autoscaler.yaml"
    ours.write_text(json.dumps(autoscaler_config(home, hosts, settings.node_ip)))  # JSON is YAML
    return ours


def replace_monitors(autoscaler: Path | None) -> None:
    """End the watchers that Ray has started in this process and a site has no use for; start the autoscaler, if any.

    Ray starts a log monitor, which copies the logs of workers to drivers, a dashboard that serves nobody, and a monitor
    of nodes that only looks on; it has no public call to do without them, or to give the last a configuration.
    """
    _node().kill_log_monitor(check_alive=False)
    _node().kill_dashboard(check_alive=False)
    if autoscaler is None:
        _node().kill_monitor(check_alive=False)
    else:
        start_autoscaler(autoscaler)


def start_autoscaler(config: Path) -> None:
    """Start Ray's autoscaler, in the place of a monitor that runs or has ended."""
    os.environ[_SILENCE] = _SILENCE_S
    _node().kill_monitor(check_alive=False)
    _node()._ray_params.autoscaling_config = str(config)  # noqa: SLF001
    _node().start_monitor()


def has_autoscaler_ended() -> bool:
    """Whether the process that `start_autoscaler` started is gone."""
    return any(found.process.poll() is not None for found in _node().all_processes.get("monitor", []))


def _node() -> Any:
    import ray

    return ray._private.worker._global_node  # noqa: SLF001
