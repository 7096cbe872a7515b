"""Where everything of one home lives, and the record by which others find the running site.

A home is one folder (`POUW_HOME`). It holds the operator's keys and, under `site/`, all that a site needs to come back
after a crash. The record `site/site.json` is there only while a site runs: whoever reads it can tell by process id and
start time whether that site is still the same living process.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cluster.errors import ConflictError
from cluster.secret_file import make_private_folder, replace_secret

HOME_VARIABLE: Final = "POUW_HOME"
_CLOCK_TOLERANCE_S: Final = 1.0
"""A process's start time is derived from the boot time, which clock adjustments move a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeLayout:
    """Every path of one home."""

    root: Path

    @property
    def keys(self) -> Path:
        """The operator's own (client) keys."""
        return self.root / "keys"

    @property
    def passphrase(self) -> Path:
        return self.root / "passphrase"

    @property
    def crash_log(self) -> Path:
        """Where the command line writes the traceback of an unexpected error."""
        return self.root / "crash.log"

    @property
    def worker_file(self) -> Path:
        """Which Ray worker node `pouw join` runs here."""
        return self.root / "worker.json"

    @property
    def worker_keeper_file(self) -> Path:
        """Which process joins again when that node ends."""
        return self.root / "worker-keeper.json"

    @property
    def worker_chain(self) -> Path:
        """The chain that this home's worker nodes work for: their miners' keys belong to it."""
        return self.root / "worker-chain"

    @property
    def worker_log(self) -> Path:
        return self.root / "worker.log"

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def rounds(self) -> Path:
        """States of unsettled rounds, one folder for each running job."""
        return self.site / "rounds"

    @property
    def replicas(self) -> Path:
        """What this machine's storage providers keep, one folder for each."""
        return self.root / "replicas"

    @property
    def site_file(self) -> Path:
        return self.site / "site.json"

    @property
    def settings_file(self) -> Path:
        """The settings the site was last started with."""
        return self.site / "settings.json"

    @property
    def token(self) -> Path:
        """Bearer token of the gateway."""
        return self.site / "token"

    @property
    def ray_token(self) -> Path:
        """Ray's own token. Whoever has it can run code on every node, so it is not the gateway's."""
        return self.site / "ray-token"

    @property
    def chain(self) -> Path:
        return self.site / "chain"

    @property
    def artifacts(self) -> Path:
        return self.site / "artifacts"

    @property
    def tls(self) -> Path:
        """Certificates of the site and of this machine; see launch/certificates."""
        return self.site / "tls"

    @property
    def authority_key(self) -> Path:
        return self.tls / "authority-key.pem"

    @property
    def authority_certificate(self) -> Path:
        return self.tls / "authority.pem"

    @property
    def trusted_authority(self) -> Path:
        return self.tls / "trusted.pem"

    @property
    def node_certificate(self) -> Path:
        return self.tls / "node.pem"

    @property
    def node_key(self) -> Path:
        return self.tls / "node-key.pem"

    @property
    def machines_file(self) -> Path:
        """The machines of the cluster file, if some of them are brought up only when they are needed."""
        return self.site / "machines.json"

    @property
    def fleet_lock(self) -> Path:
        return self.site / "fleet.lock"

    @property
    def fleet_file(self) -> Path:
        """The machines that `pouw up cluster.yaml` made nodes of this site."""
        return self.site / "fleet.json"

    @property
    def site_keys(self) -> Path:
        """Keys of the site's own roles."""
        return self.site / "keys"

    @property
    def logs(self) -> Path:
        return self.site / "logs"

    @property
    def host_log(self) -> Path:
        """Output of the site's background process."""
        return self.site / "host.log"

    @property
    def host_error(self) -> Path:
        """Why the last start failed, as an `ErrorView`."""
        return self.site / "host-error.json"

    @property
    def lock(self) -> Path:
        """Held while a site is being started or stopped."""
        return self.site / "lock"

    def create(self) -> None:
        """Make the folders, readable by their owner only."""
        for folder in (self.root, self.keys, self.site, self.chain, self.artifacts, self.site_keys, self.logs):
            make_private_folder(folder)


def home_from_environment(environment: Mapping[str, str] = os.environ) -> HomeLayout:
    """The home named by `POUW_HOME`, else the platform's folder for user data."""
    named = environment.get(HOME_VARIABLE)
    if named:
        return HomeLayout(root=Path(named).expanduser().absolute())
    import platformdirs

    return HomeLayout(root=platformdirs.user_data_path("pouw"))


class ProcessMark(msgspec.Struct, frozen=True, kw_only=True):
    """One process that cannot be taken for another: ids are reused, id and start time together are not."""

    pid: int
    create_time: float

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs. One that ended and was not collected by its parent does not run."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            moved_s = abs(process.create_time() - self.create_time)
            return bool(moved_s < _CLOCK_TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


def mark_process(pid: int) -> ProcessMark:
    """The mark of a running process.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    import psutil

    return ProcessMark(pid=pid, create_time=psutil.Process(pid).create_time())


class SiteFile(ProcessMark, frozen=True, kw_only=True):
    """The running site: its background process and where it answers."""

    address: str
    """URL of the gateway, such as `http://127.0.0.1:8470`."""
    ray_address: str
    dashboard: str
    miners: int
    supervisors: int
    started_at: str
    """ISO 8601, UTC."""
    chain_id: str = ""
    ready: bool = False
    """Whether the gateway answers."""


def read_site_file(home: HomeLayout) -> SiteFile | None:
    """The record of the site of this home, or None if none was started or it was stopped.

    Raises:
        ConflictError: there is a record but it cannot be read.
    """
    try:
        data = home.site_file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=SiteFile)
    except msgspec.DecodeError as error:
        raise ConflictError(
            f"{home.site_file} is damaged: {error}",
            hint=f"if no site is running, remove {home.site_file}",
            code="site-file",
        ) from error


def write_site_file(home: HomeLayout, site: SiteFile) -> None:
    """Publish the record; readers see the old or the new one, never a part."""
    replace_secret(home.site_file, msgspec.json.format(msgspec.json.encode(site), indent=2))


def remove_site_file(home: HomeLayout) -> None:
    """Withdraw the record. Not an error if there is none."""
    home.site_file.unlink(missing_ok=True)
