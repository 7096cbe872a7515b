"""What a machine has to have in common with a site to work for it, and how a joining machine learns it.

The host writes the card into Ray's own key-value store, where whoever has Ray's token can read it without being a node.
A joining machine compares it with itself, and only then starts a node, labelled with the card's digest. Miners are
placed on nodes with the right label only, so a node that did not compare, or compared with an earlier card, gets none.
The card is not signed: who could forge it has the token, and with that can run code on every node anyway.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from typing import Any, Final

from cluster.errors import ClusterError, ConflictError, NotAuthorisedError, UnreachableError, UsageError
from consensus.errors import EncodingError
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Digest
from jobs.machine import MachineClass

ON_DEMAND_LABEL: Final = "pouw.on-demand"
"""Set on a node that is ended when no miner runs there."""
LABEL: Final = "pouw.card"
"""Label of Ray nodes that compared themselves with the card."""
_KEY: Final = b"site-card"
_NAMESPACE: Final = b"pouw"
_LONGEST: Final = 64 * 1024
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 10


class SiteCard(Record, frozen=True, tag="pouw/site-card/1"):
    """A site, as far as a joining machine has to agree with it."""

    chain_id: Digest
    pouw: str
    ray: str
    machine: MachineClass

    @property
    def label(self) -> str:
        """Names exactly this card; fits into a label of a Ray node."""
        return sha256("pouw/site-card-label/1", encode(self)).hex()[:32]


def describe_site(chain_id: Digest, machine: MachineClass) -> SiteCard:
    """The card of this process's installation."""
    return SiteCard(chain_id=chain_id, pouw=installed("pouw"), ray=installed("ray"), machine=machine)


def installed(name: str) -> str:
    """The installed version of a package; empty in a source tree that is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def check_card(site: SiteCard, own: SiteCard) -> None:
    """Hold this machine's card against the site's.

    Raises:
        ConflictError: they differ; names the first difference with both values, and what to do.
    """
    for code, name, theirs, ours, fix in _comparisons(site, own):
        if theirs != ours:
            raise ConflictError(f"{name}: this machine has {ours}, the site {theirs}", hint=fix, code=code)


def _comparisons(site: SiteCard, own: SiteCard) -> Iterator[tuple[str, str, str, str, str]]:
    """Code of the error, what is compared, its value there and here, and what to do."""
    chain_fix = "check the address; or join with a fresh POUW_HOME if this machine should change to that site"
    yield "chain-id", "chain", site.chain_id.hex(), own.chain_id.hex(), chain_fix
    yield "version", "pouw", site.pouw, own.pouw, f"pip install pouw=={site.pouw}, or the same source as on the site"
    there, here = site.machine, own.machine
    yield "version", "Python", there.python, here.python, f"install pouw into a Python {there.python} environment"
    yield "version", "ray", site.ray, own.ray, f"pip install ray=={site.ray}"
    torch_fix = f"install exactly torch=={there.torch}; builds such as +cpu count"
    yield "version", "torch", there.torch, here.torch, torch_fix
    class_fix = "miners of another replay class cannot be verified here: start a site of its own for such machines"
    for name in ("replay_class", "processor", "capability", "libc"):
        words = f"replay class ({name.replace('_', ' ')})"
        yield "replay-class", words, getattr(there, name), getattr(here, name), class_fix
    for at_site, at_own in zip_longest(there.settings, here.settings, fillvalue="nothing"):
        yield "replay-class", "replay class (settings)", at_site, at_own, class_fix
    test_fix = "the kernels compute other bits here: compare 'pouw doctor' on both machines"
    yield "replay-class", "self-test", there.self_test.hex(), here.self_test.hex(), test_fix


def publish_card(card: SiteCard) -> None:
    """Let joining machines read the card. Only in a process that is connected to Ray."""
    from ray.experimental import internal_kv

    internal_kv._internal_kv_put(_KEY, encode(card), overwrite=True, namespace=_NAMESPACE)  # noqa: SLF001 - no public API


def own_site_card() -> SiteCard | None:
    """The card of the site that this process is connected to; None before it was published."""
    from ray.experimental import internal_kv

    data = internal_kv._internal_kv_get(_KEY, namespace=_NAMESPACE)  # noqa: SLF001 - no public API
    return None if data is None else decode(data, SiteCard, limit=_LONGEST)


def read_card(address: str) -> SiteCard:
    """The card of the site at a Ray address. Ray's token must be in this process's environment.

    Raises:
        UnreachableError: nobody answers there, or not with Ray's protocol.
        NotAuthorisedError: the site does not accept the token.
        UsageError: a Ray cluster, but not a site of pouw.
    """
    _check_listening(address)
    with _ray_errors(address):
        data = _client(address).internal_kv_get(_KEY, namespace=_NAMESPACE, timeout=_ANSWER_S)
    if data is None:
        words = f"the Ray cluster at {address} is not a site of pouw, or is still starting"
        raise UsageError(words, hint="use the address that pouw up prints", code="no-site")
    try:
        return decode(data, SiteCard, limit=_LONGEST)
    except EncodingError as error:
        own = installed("pouw")
        raise ConflictError(
            f"the card of the site at {address} cannot be read by this version of pouw ({own}): {error}",
            hint="install the same version of pouw as on the site",
            code="version",
        ) from error


def _client(address: str) -> Any:  # Ray's own client has no types
    from ray import _raylet

    client: Any = _raylet
    return client.GcsClient(address=address)


def _check_listening(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UnreachableError(
            f"nobody answers at {address}: {error}",
            hint="check the address that pouw up printed, that the site is up, and firewalls between the machines",
            code="unreachable",
        ) from error


@contextmanager
def _ray_errors(address: str) -> Iterator[None]:
    from ray.exceptions import AuthenticationError, RayError

    try:
        yield
    except AuthenticationError as error:
        raise refused_token(address) from error
    except RayError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        hint = "use the address that pouw up prints; with TLS both sides need their certificates"
        raise UnreachableError(f"no Ray answers at {address}: {reason[:300]}", hint=hint, code="no-ray") from error


def refused_token(address: str) -> ClusterError:
    """The error of a wrong or missing token of Ray."""
    return NotAuthorisedError(
        f"the site at {address} does not accept this Ray token",
        hint="copy the file site/ray-token of the site's home to this machine's home (mode 600)",
        code="ray-token",
    )
