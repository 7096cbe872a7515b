"""Ray's autoscaler for the machines of a cluster file that are not started at once.

The gateway asks it for places for miners (`cluster/actors/care`); it decides how many machines that takes and which
are idle, and `machine_provider` brings them up and ends them. Where another autoscaler runs Ray's nodes, such as
KubeRay's, the same requests go to that one, and nothing here is used.
"""

import json
from pathlib import Path
from typing import Final

import msgspec

from cluster.config import HomeLayout
from cluster.control.placement import PLACE
from cluster.errors import NotFoundError
from cluster.settings import SiteSettings, WorkerHosts
from cluster.views import JsonValue

HEAD: Final = "head"
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


def autoscaler_config(home: HomeLayout, hosts: WorkerHosts, head_ip: str) -> dict[str, JsonValue]:
    """The configuration of Ray's autoscaler."""
    count = len(hosts.addresses)
    places: dict[str, JsonValue] = {"CPU": hosts.scaling.worker_cpus, PLACE: hosts.scaling.worker_cpus}
    return {
        **_NOT_OURS,
        "cluster_name": "pouw",
        "max_workers": count,
        "idle_timeout_minutes": hosts.idle_timeout_minutes,
        "upscaling_speed": float(count),
        "head_node_type": HEAD,
        "available_node_types": {
            HEAD: {"node_config": {}, "resources": {}, "min_workers": 0, "max_workers": 0},
            WORKER: {
                "node_config": {},
                "resources": places,
                "min_workers": hosts.scaling.min_workers or 0,
                "max_workers": count,
            },
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


def start_autoscaler(config: Path) -> None:
    """Have the monitor of this process's Ray bring up machines.

    Ray has started one that only looks on; it has no public call for another configuration.
    """
    import ray

    node = ray._private.worker._global_node  # noqa: SLF001
    node.kill_monitor()
    node._ray_params.autoscaling_config = str(config)  # noqa: SLF001
    node.start_monitor()
