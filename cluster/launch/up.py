"""Start a site in the background and wait until it answers.

The background process says through files how it is doing: `site.json` with `ready` when the gateway answers, or
`host-error.json` with the reason when it gives up.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec

from cluster.config import HomeLayout, SiteFile, mark_process, read_site_file, remove_site_file
from cluster.errors import ClusterError, ConflictError, UsageError
from cluster.launch.certificates import issue, keep, remove
from cluster.launch.lock import site_lock
from cluster.launch.ports import check_head_address, choose_port
from cluster.launch.process import DetachedProcess, kill_group, last_lines, spawn_detached, terminate, wait_until
from cluster.launch.processor import check_can_run
from cluster.secret_file import load_or_create_token, replace_secret
from cluster.settings import SiteSettings, WorkerHosts
from cluster.views import ErrorView

START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 20.0
HOST_MODULE: Final = "cluster.launch.keeper"


class StartError(ClusterError):
    """The background process ended, or took too long, before the site was ready."""

    code = "start"


def start_site(
    home: HomeLayout,
    settings: SiteSettings,
    hosts: WorkerHosts | None = None,
    *,
    tick: Callable[[], None] | None = None,
    timeout_s: float = START_TIMEOUT_S,
    module: str = HOST_MODULE,
) -> SiteFile:
    """Start the site of `home` and return its record when it is ready. `tick` is called while waiting.

    `hosts`: the other machines, of which the site's autoscaler brings up those that are on demand.

    Raises:
        UsageError: more supervisors or verifiers than a site can have, the head's address is not of this machine, or
            its processor cannot run the replay class.
        ConflictError: it is up already, being started or stopped, or a port is taken.
        StartError: it did not come up; the message says why, as far as is known.
    """
    for what, count in (("supervisor", settings.supervisors), ("verifier", settings.verifiers)):
        if count != 1:
            words = f"a site has one {what} for now, not {count}"
            raise UsageError(words, hint=f"leave {what}s out", code=f"{what}s")
    check_can_run(settings.replay_class)
    home.create()
    with site_lock(home):
        _check_not_up(home)
        check_head_address(settings.node_ip, settings.ray_port)
        chosen = msgspec.structs.replace(settings, port=choose_port(settings.port))
        _write_inputs(home, chosen, hosts)
        offset = home.host_log.stat().st_size if home.host_log.exists() else 0
        host = spawn_detached(_command(home, module), home.host_log, {"PYTHONUNBUFFERED": "1"})
        try:
            return _await_ready(home, host, offset, tick, timeout_s)
        except BaseException:
            _abandon(host)
            raise


def _check_not_up(home: HomeLayout) -> None:
    site = read_site_file(home)
    if site is not None and site.is_alive:
        raise ConflictError(
            f"the site is already up at {site.address}", hint="see pouw status, or stop it with pouw down", code="up"
        )
    remove_site_file(home)


def _write_inputs(home: HomeLayout, settings: SiteSettings, hosts: WorkerHosts | None) -> None:
    home.host_error.unlink(missing_ok=True)
    load_or_create_token(home.token)
    token = load_or_create_token(home.ray_token)
    if settings.tls:
        keep(home, issue(home, settings.node_ip, token, datetime.now(UTC)))
    else:
        remove(home)
    replace_secret(home.settings_file, msgspec.json.encode(settings))
    if hosts is not None and hosts.on_demand:
        replace_secret(home.machines_file, msgspec.json.encode(hosts))
    else:
        home.machines_file.unlink(missing_ok=True)


def _command(home: HomeLayout, module: str) -> list[str]:
    return [sys.executable, "-m", module, "--home", str(home.root), "--settings", str(home.settings_file)]


def _await_ready(
    home: HomeLayout, host: DetachedProcess, offset: int, tick: Callable[[], None] | None, timeout_s: float
) -> SiteFile:
    def is_decided() -> bool:
        return host.has_ended() or _ready_site(home, host.pid) is not None

    decided = wait_until(is_decided, timeout_s, tick)
    site = _ready_site(home, host.pid)
    if site is not None and not host.has_ended():
        return site
    words = f"the site ended with status {host.status}" if decided else f"the site is not ready after {timeout_s:g} s"
    raise _explain(home, words, offset)


def _ready_site(home: HomeLayout, pid: int) -> SiteFile | None:
    site = read_site_file(home)
    return site if site is not None and site.ready and site.pid == pid else None


def _explain(home: HomeLayout, words: str, offset: int) -> StartError:
    hint = f"the whole log is {home.host_log}; check this machine with: pouw doctor"
    try:
        view = msgspec.json.decode(home.host_error.read_bytes(), type=ErrorView)
    except (FileNotFoundError, msgspec.DecodeError):
        lines = last_lines(home.host_log, offset)
        return StartError(f"{words}; its last lines:\n{lines}" if lines else words, hint=hint)
    return StartError(view.error, hint=view.hint or hint, code=view.code)


def _abandon(host: DetachedProcess) -> None:
    """End what was started for nothing, so that a failed start leaves no process behind."""
    if host.has_ended():
        return
    mark = mark_process(host.pid)
    terminate(mark)
    if not wait_until(host.has_ended, STOP_TIMEOUT_S):
        kill_group(mark)
        wait_until(host.has_ended, STOP_TIMEOUT_S)
