"""Several hosts on one machine: network namespaces joined by a switch, each link with a rate of its own; for root only.

    with connected_hosts(4, rate_mbit=100) as network:
        network.hosts[1].run(["ping", "-c", "1", network.hosts[0].address])
        network.hosts[1].cut()      # the cable is pulled
        network.hosts[1].mend()

Every host has an address in 10.77.0.0/24, a loopback of its own and nothing else: it sees neither the machine's network
nor the internet. The switch, a bridge, is in a namespace too, so the machine's own network is left alone. A rate holds
on each link and in each direction (token bucket, `tc tbf`); a delay cannot be set, as the kernel here has no `netem`.
Files, users and process ids are the machine's: hosts are apart on the network only.

At the end, and also after an error, what runs in the namespaces is killed and they are removed. What a killed script
left behind is found by its names, which hold the script's process id, and removed by the next one, or by

    python -m benchmarks.namespaces clean
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

_NAME: Final = re.compile(r"pouw-net-(?P<owner>[0-9]+)-(?P<part>switch|h[0-9]+)")
_SWITCH: Final = "switch"
_BRIDGE: Final = "bridge"
_MOST_HOSTS: Final = 200
_BURST: Final = "64kb"
_QUEUE_MS: Final = 50
_END_S: Final = 5.0
_STEP_S: Final = 0.05


class NamespaceError(Exception):
    """A command that builds the network failed; says which, and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One namespace."""

    owner: int
    """Process id of the script that built the network."""
    number: int

    @property
    def name(self) -> str:
        """The namespace's name."""
        return _name(self.owner, f"h{self.number}")

    @property
    def address(self) -> str:
        """Under which the other hosts reach it."""
        return f"10.77.0.{self.number + 1}"

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that runs this command on the host."""
        return ["ip", "netns", "exec", self.name, *command]

    def run(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. Raises NamespaceError if it fails."""
        return _run(self.command(command), environment=environment, timeout_s=timeout_s)

    def start(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command in a session of its own; it ends with the network at the latest."""
        return subprocess.Popen(
            self.command(command),
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def cut(self) -> None:
        """Take the host off the network, as if its cable were pulled."""
        self._set_port("down")

    def mend(self) -> None:
        """Connect it again."""
        self._set_port("up")

    def _set_port(self, state: str) -> None:
        _ip("-n", _name(self.owner, _SWITCH), "link", "set", _port(self.number), state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Hosts on one switch."""

    hosts: tuple[Host, ...]

    @classmethod
    def of(cls, owner: int, count: int) -> "Network":
        """A network that another process (`owner`) has built."""
        return cls(hosts=tuple(Host(owner=owner, number=number) for number in range(count)))


def why_not() -> str:
    """Why namespaces cannot be used here, in words; empty if they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are a feature of Linux"
    if os.geteuid() != 0:
        return "building network namespaces needs root"
    missing = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    return f"{' and '.join(missing)} of iproute2 are not installed" if missing else ""


@contextmanager
def connected_hosts(count: int, *, rate_mbit: float | None = None) -> Iterator[Network]:
    """Build hosts that reach each other, and remove them and all that runs on them at the end.

    Raises:
        NamespaceError: they could not be built.
    """
    if why_not():
        raise NamespaceError(why_not())
    if not 1 <= count <= _MOST_HOSTS:
        raise NamespaceError(f"a network has 1 to {_MOST_HOSTS} hosts, not {count}")
    remove_leftovers()
    owner = os.getpid()
    try:
        _build_switch(owner)
        network = Network.of(owner, count)
        for host in network.hosts:
            _build_host(host, rate_mbit)
        yield network
    finally:
        _remove([name for name, found in _namespaces() if found == owner])


def remove_leftovers() -> list[str]:
    """Remove the namespaces of scripts that have ended, and what runs in them. Returns their names."""
    left = [name for name, owner in _namespaces() if not psutil.pid_exists(owner)]
    _remove(left)
    return left


def _name(owner: int, part: str) -> str:
    return f"pouw-net-{owner}-{part}"


def _port(number: int) -> str:
    return f"port{number}"


def _namespaces() -> list[tuple[str, int]]:
    """Ours, with the process ids of their scripts."""
    names = (line.split()[0] for line in _ip("netns", "list").splitlines() if line)
    return [(name, int(found["owner"])) for name in names if (found := _NAME.fullmatch(name))]


def _build_switch(owner: int) -> None:
    switch = _name(owner, _SWITCH)
    _ip("netns", "add", switch)
    _ip("-n", switch, "link", "add", _BRIDGE, "type", "bridge")
    _ip("-n", switch, "link", "set", _BRIDGE, "up")


def _build_host(host: Host, rate_mbit: float | None) -> None:
    switch, port = _name(host.owner, _SWITCH), _port(host.number)
    _ip("netns", "add", host.name)
    _ip("-n", host.name, "link", "set", "lo", "up")
    _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _ip("-n", switch, "link", "set", port, "master", _BRIDGE, "up")
    _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.name, "link", "set", "eth0", "up")
    if rate_mbit is not None:
        for namespace, device in ((switch, port), (host.name, "eth0")):
            _limit(namespace, device, rate_mbit)


def _limit(namespace: str, device: str, rate_mbit: float) -> None:
    bucket = ["tbf", "rate", f"{rate_mbit:g}mbit", "burst", _BURST, "latency", f"{_QUEUE_MS}ms"]
    _run(["tc", "-n", namespace, "qdisc", "add", "dev", device, "root", *bucket])


def _remove(names: Sequence[str]) -> None:
    """Removing a namespace removes its devices, and their other ends, once nothing runs in it."""
    _end_processes(names)
    for name in names:
        _ip("netns", "delete", name)


def _end_processes(names: Sequence[str]) -> None:
    """SIGTERM, and after a while SIGKILL, for all that runs there; never for this process, which may be there too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _pids(names):
            _send(pid, number)
        deadline = time.monotonic() + _END_S
        while _pids(names) and time.monotonic() < deadline:
            time.sleep(_STEP_S)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _pids(names: Sequence[str]) -> list[int]:
    """What runs there. One that has ended and waits for its parent counts no more."""
    found = {int(pid) for name in names for pid in _ip("netns", "pids", name).split()} - {os.getpid()}
    return [pid for pid in found if _is_running(pid)]


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments]).stdout


def _run(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise NamespaceError(f"{' '.join(command)} ended with status {done.returncode}: {said[-2000:]}")
    return done


def main(arguments: Sequence[str]) -> int:
    """`clean`: remove what scripts that were killed have left."""
    if list(arguments) != ["clean"]:
        print("usage: python -m benchmarks.namespaces clean", file=sys.stderr)
        return 2
    if why_not():
        print(why_not(), file=sys.stderr)
        return 1
    for name in remove_leftovers():
        print(f"removed {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
