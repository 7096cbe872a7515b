"""Compare this machine with a site before it joins: in a process of its own, which needs torch and Ray only so long.

The process has Ray's token in its environment. On stdout it says one JSON value: an `Admission`, or an `ErrorView`.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cluster.errors import ClusterError, ConflictError, ExitCode, NotAuthorisedError, UnreachableError, UsageError
from cluster.views import ErrorView, View

TIMEOUT_S: Final = 120.0
_KINDS: Final[dict[int, type[ClusterError]]] = {
    ExitCode.USAGE: UsageError,
    ExitCode.UNREACHABLE: UnreachableError,
    ExitCode.NOT_AUTHORISED: NotAuthorisedError,
    ExitCode.FAILED: ConflictError,
}


class Admission(View, frozen=True):
    """What a node of the site is started with."""

    label: str
    """Of the card that this machine was compared with."""
    chain_id: str
    replay_class: str


def ask_admission(
    address: str, access: Mapping[str, str], chain_id: str | None, timeout_s: float = TIMEOUT_S
) -> Admission:
    """Compare this machine with the site at `address`, which the variables in `access` let it talk to.

    `chain_id` is the chain this machine works for, if that is settled.

    Raises:
        ClusterError: it does not match, or the site does not answer; as `read_card` and `check_card`.
    """
    command = [sys.executable, "-m", "cluster.launch.admission", address, *(["--chain", chain_id] if chain_id else [])]
    environment = {**os.environ, **access, "RAY_BACKEND_LOG_LEVEL": "fatal"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(f"no answer from {address} after {timeout_s:g} s", hint="check the network") from error
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Admission)
    try:
        view = msgspec.json.decode(done.stdout, type=ErrorView)
    except msgspec.DecodeError as error:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        hint = "check this machine with: pouw doctor"
        raise ClusterError(f"this machine could not be compared with the site: {reason}", hint=hint) from error
    raise _KINDS.get(done.returncode, ClusterError)(view.error, view.hint, view.code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cluster.launch.admission")
    parser.add_argument("address")
    parser.add_argument("--chain")
    options = parser.parse_args(arguments)
    try:
        found: View = _compare(options.address, options.chain)
        status = ExitCode.OK
    except ClusterError as error:
        found, status = ErrorView(error=error.message, code=error.code, hint=error.hint), error.exit_code
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return status


def _compare(address: str, chain: str | None) -> Admission:
    from cluster.launch.site_card import check_card, describe_site, read_card
    from consensus.primitives.integers import Digest
    from jobs.errors import DeterminismError
    from jobs.machine import describe_machine

    card = read_card(address)
    try:
        machine = describe_machine(card.machine.replay_class)
    except DeterminismError as error:
        hint = "check this machine with: pouw doctor"
        raise ConflictError(f"this machine cannot train: {error}", hint=hint, code="replay-class") from error
    wanted = card.chain_id if chain is None else Digest(bytes.fromhex(chain))
    check_card(card, describe_site(wanted, machine))
    return Admission(label=card.label, chain_id=card.chain_id.hex(), replay_class=card.machine.replay_class)


if __name__ == "__main__":
    sys.exit(main())
