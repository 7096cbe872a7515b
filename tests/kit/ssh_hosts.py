"""Real sshd processes on loopback addresses: each stands for a machine with a home of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_PRIVILEGES = Path("/run/sshd")


def missing() -> str:
    """Why this machine cannot run the hosts; empty if it can."""
    absent = [name for name in ("ssh", "ssh-keygen") if shutil.which(name) is None]
    absent += [] if SSHD else ["sshd"]
    return f"{', '.join(absent)} not installed (Debian: openssh-server, openssh-client)" if absent else ""


@dataclass(frozen=True)
class SshHosts:
    """Where they are, and how a client reaches them."""

    folder: Path
    addresses: tuple[str, ...]
    config: Path
    """For `ssh -F`: port, key, known hosts."""

    def home(self, address: str) -> Path:
        """POUW_HOME of whoever logs in there."""
        return self.folder / f"home-{address}"

    @property
    def command(self) -> str:
        """The `pouw` of this environment, as worker_command."""
        return str(Path(sys.executable).with_name("pouw"))


@contextlib.contextmanager
def ssh_hosts(folder: Path, addresses: Sequence[str], port: int) -> Iterator[SshHosts]:
    """sshd on `port` of every address; ended at the end, with all that it made."""
    folder.mkdir(mode=0o700, parents=True)
    _keygen(folder / "client")
    (folder / "authorized_keys").write_bytes((folder / "client.pub").read_bytes())
    made = _make_privileges()
    with contextlib.ExitStack() as running:
        if made:
            running.callback(shutil.rmtree, _PRIVILEGES, ignore_errors=True)
        for address in addresses:
            running.enter_context(_sshd(folder, address, port))
        config = folder / "ssh_config"
        config.write_text(
            f"Host *\n  Port {port}\n  IdentityFile {folder}/client\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n  StrictHostKeyChecking yes\n"
        )
        known = (f"[{address}]:{port} {(folder / f'host-{address}.pub').read_text()}" for address in addresses)
        (folder / "known_hosts").write_text("".join(known))
        yield SshHosts(folder=folder, addresses=tuple(addresses), config=config)


def _make_privileges() -> bool:
    if _PRIVILEGES.exists() or os.geteuid() != 0:
        return False
    _PRIVILEGES.mkdir(mode=0o755)
    return True


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@contextlib.contextmanager
def _sshd(folder: Path, address: str, port: int) -> Iterator[None]:
    assert SSHD is not None
    key, config = folder / f"host-{address}", folder / f"sshd-{address}"
    _keygen(key)
    variables = f"POUW_HOME={folder}/home-{address} PYTHONPATH={os.environ.get('PYTHONPATH', '')}"
    config.write_text(
        f"ListenAddress {address}:{port}\nHostKey {key}\nAuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
        f"SetEnv {variables}\n"
    )
    with (folder / f"sshd-{address}.log").open("wb") as log:
        daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(20)
