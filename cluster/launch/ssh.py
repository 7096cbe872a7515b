"""Commands on the other machines of a site, over ssh.

The user's own ssh does it, with its known hosts: a token is sent only to a machine whose host key is known. Secrets go
through standard input, never onto a command line.
"""

import subprocess
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from cluster.errors import ClusterError, UnreachableError
from cluster.settings import WorkerHosts
from cluster.views import ErrorView

_CONNECT_S: Final = 10
SSH_FAILED: Final = "ssh"
"""Code of an error after which it is not known what happened there."""
_EXIT_SSH: Final = 255
_NO_COMMAND: Final = 127
_LONGEST: Final = 300
View = TypeVar("View")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine that ssh reaches."""

    address: str
    hosts: WorkerHosts

    def pouw(self, arguments: str, kind: type[View], *, secret: str = "", timeout_s: float) -> View:
        """Run `pouw ARGUMENTS --json` there and return what it said. `secret` is what its standard input holds.

        Raises:
            UnreachableError: ssh did not get there in time.
            ClusterError: there is no pouw, or it reported an error; its words (after the address), its code and hint.
        """
        command = [*self._ssh(), f"{self.hosts.ssh.worker_command} {arguments} --json"]
        try:
            done = subprocess.run(command, input=secret.encode(), capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"{self.address}: no answer after {timeout_s:g} s", code=SSH_FAILED) from error
        if done.returncode == 0:
            return self._decode(done.stdout, kind)
        raise self._error(done)

    def _ssh(self) -> list[str]:
        hosts = self.hosts
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}", "-o", "ServerAliveInterval=15"]
        options += ["-F", hosts.ssh.ssh_config] if hosts.ssh.ssh_config else []
        options += ["-i", hosts.ssh_private_key] if hosts.ssh_private_key else []
        options += ["-o", f"ProxyCommand={hosts.ssh_proxy_command}"] if hosts.ssh_proxy_command else []
        options += ["-l", hosts.ssh_user] if hosts.ssh_user else []
        return ["ssh", *options, "--", self.address]

    def _decode(self, data: bytes, kind: type[View]) -> View:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            words = f"{self.address}: pouw there answered {data[:_LONGEST].decode(errors='replace')!r}"
            raise ClusterError(words, hint="install the same version of pouw there", code="version") from error

    def _error(self, done: "subprocess.CompletedProcess[bytes]") -> ClusterError:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        if done.returncode == _EXIT_SSH:
            hint = f"try by hand: {' '.join(self._ssh())} true"
            return UnreachableError(f"{self.address}: ssh failed: {said[-1][:_LONGEST]}", hint=hint, code=SSH_FAILED)
        if done.returncode == _NO_COMMAND:
            words = f"{self.address}: there is no command {self.hosts.ssh.worker_command!r}"
            hint = "install pouw there, or name it: metadata: pouw: worker_command: /path/to/pouw"
            return ClusterError(words, hint=hint, code="no-pouw")
        try:
            view = msgspec.json.decode(done.stdout, type=ErrorView)
        except msgspec.DecodeError:
            return ClusterError(f"{self.address}: pouw there ended with {done.returncode}: {said[-1][:_LONGEST]}")
        return ClusterError(f"{self.address}: {view.error}", hint=view.hint, code=view.code)
