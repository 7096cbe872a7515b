"""The storage provider as a Ray actor, one on each node: asks for its work, does it, and hands out what it keeps."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray

from cluster.actors.names import SUPERVISOR
from cluster.actors.nodes import own_address
from cluster.actors.remote import Handle, cause_of, find_actor, require_actor
from cluster.config import home_from_environment
from cluster.logs import configure_logging
from cluster.node.piece_reader import checked_chunks
from cluster.node.provider import ProviderNode
from cluster.node.provider_turn import ProviderTurns, StorageSite
from cluster.node.storage_work import PieceSources, ProviderWork
from cluster.wallet.keystore import site_keystore
from consensus.params import ConsensusParams
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest, PublicKey
from storage.artifact_manifest import Manifest
from storage.errors import StorageCorruptError, StorageError
from storage.replica_record import PieceName
from storage.replica_store import ReplicaStore

_RETRY_S: Final = 1.0
_ANSWER_S: Final = 30.0
_DISK_SHARE: Final = 0.1
_GB: Final = 10**9
_NICENESS: Final = 10
"""Sealing takes long; it yields to training."""

_log = logging.getLogger("pouw.provider")


class StorageProvider:
    """One node's provider. A dead one is started again under its name, with its key and what it keeps."""

    OPTIONS: Final[dict[str, Any]] = {
        "num_cpus": 0,
        "max_restarts": 0,
        "concurrency_groups": {"control": 2, "serve": 4},
    }

    def __init__(self, *, name: str, chain_id: bytes, params: ConsensusParams, storage_gb: float | None) -> None:
        home = home_from_environment()  # of this node: its key and what it keeps stay here
        configure_logging(home, name)
        os.nice(_NICENESS)
        folder = home.replicas / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        capacity = int(free * _DISK_SHARE if storage_gb is None else storage_gb * _GB)
        key = site_keystore(home).load_or_create(name)
        store = _open_store(folder, capacity)
        self._node = ProviderNode(key=key, chain_id=Digest(chain_id), params=params, store=store)
        self._address = own_address()
        self._turns = ProviderTurns(
            node=self._node,
            site=_Site(name),
            name=name,
            address=self._address,
            capacity=max(capacity, store.total_bytes()),
            clock_s=time.monotonic,
        )
        threading.Thread(target=self._work, name="work", daemon=True).start()

    @ray.method(concurrency_group="control")
    def hello(self) -> tuple[bytes, int, str]:
        """Public key, process id and node."""
        return self._node.public_key, os.getpid(), self._address

    @ray.method(concurrency_group="control")
    def leave(self) -> None:
        """Give everything away to others, and take nothing more."""
        self._turns.leave()

    @ray.method(concurrency_group="serve")
    def load_plain(self, deal: bytes, piece: int, first: int, count: int) -> list[bytes]:
        """Some chunks of a piece, unsealed."""
        return self._node.load_plain(Digest(deal), piece, first, count)

    @ray.method(concurrency_group="serve")
    def open_chunks(self, deal: bytes, piece: int, indices: Sequence[int]) -> list[bytes]:
        """Encoded openings of these chunks."""
        return [encode(opening) for opening in self._node.open_chunks(Digest(deal), piece, indices)]

    def _work(self) -> None:
        """One turn after the other. A process without them would only seem to keep something: it ends with them."""
        try:
            while True:
                try:
                    self._turns.step()
                except (OSError, StorageError) as error:
                    _log.warning("tried again in a second: %s", error)
                    time.sleep(_RETRY_S)
        except Exception:  # noqa: BLE001 - an actor's edge
            _log.critical("the provider's work ended: so does its process, to be started again", exc_info=True)
            os._exit(1)


def _open_store(folder: Path, quota_bytes: int) -> ReplicaStore:
    """The provider's store. One that cannot be opened any more is put aside: nothing in it could be proved."""
    try:
        return ReplicaStore.open(folder, quota_bytes=quota_bytes)
    except StorageCorruptError as error:
        aside = folder.with_name(f"{folder.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        _log.error("%s; it is kept as %s, and an empty one is begun", error, aside)
        folder.rename(aside)
        folder.mkdir(mode=0o700)
        return ReplicaStore.open(folder, quota_bytes=quota_bytes)


@dataclass(frozen=True, slots=True)
class _Site:
    """Implements provider_turn.StorageSite by calls of actors."""

    name: str
    """Of the provider that asks."""

    def work(self, provider: PublicKey, held: int, sealed: tuple[PieceName, ...]) -> ProviderWork:
        work: ProviderWork = _ask("storage_work", provider, self.name, held, sealed)
        return work

    def manifest(self, root: Digest) -> Manifest:
        return decode(_ask("piece_manifest", root), Manifest)

    def sources(self, deal: Digest) -> PieceSources:
        sources: PieceSources = _ask("storage_sources", deal)
        return sources

    def submit(self, transaction: bytes) -> None:
        _ask("submit", transaction)

    def origin(self, root: Digest) -> "_Source":
        return _Source("load_chunks", (root,))

    def holder(self, name: str, deal: Digest, piece: int) -> "_Source":
        return _Source("load_plain", (deal, piece), name)


@dataclass(frozen=True, slots=True)
class _Source:
    """An actor that keeps a piece."""

    method: str
    what: tuple[object, ...]
    name: str = SUPERVISOR

    def load(self, first: int, count: int) -> Sequence[bytes]:
        handle: Handle | None = find_actor(self.name)
        if handle is None:
            raise OSError("it is not there")
        try:
            answer = ray.get(getattr(handle, self.method).remote(*self.what, first, count), timeout=_ANSWER_S)
        except ray.exceptions.RayError as error:
            raise OSError(str(cause_of(error)).partition("\n")[0]) from error
        return checked_chunks(answer)


def _ask(method: str, *arguments: object) -> Any:
    """Call the supervisor; an error of ours comes back as itself. Raises OSError if nobody answers."""
    try:
        return ray.get(getattr(require_actor(SUPERVISOR), method).remote(*arguments), timeout=_ANSWER_S)
    except ray.exceptions.RayTaskError as error:
        raise cause_of(error) from None
    except ray.exceptions.RayError as error:
        raise OSError(str(error).partition("\n")[0]) from error


def _conforms(site: _Site) -> StorageSite:
    return site
