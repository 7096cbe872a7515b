"""The storage provider as a Ray actor, one on each node: asks for its work, does it, and hands out what it keeps."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ray

from cluster.actors.names import SUPERVISOR
from cluster.actors.nodes import own_address
from cluster.actors.remote import Handle, cause_of, find_actor, require_actor
from cluster.config import home_from_environment
from cluster.logs import configure_logging
from cluster.node.piece_reader import read_copy, rebuild_shard
from cluster.node.provider import ProviderNode
from cluster.node.storage_work import PieceTask, ProviderWork
from cluster.wallet.keystore import site_keystore
from consensus.errors import ConsensusError
from consensus.ledger.entries import ReplicaStatus
from consensus.params import ConsensusParams
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Credits, Digest
from consensus.primitives.integers import Sequence as Number
from consensus.records.storage import LeavePiece, OfferStorage, Stake
from storage.artifact_manifest import Manifest
from storage.errors import StorageError
from storage.proofs.errors import ReplicaCorruptError
from storage.replica_record import ReplicaState
from storage.replica_store import ReplicaStore

_RETRY_S: Final = 1.0
_BUSY_S: Final = 1.0
"""So long it seals before it asks again whether a challenge is open."""
_ANSWER_S: Final = 30.0
_REOFFER_S: Final = 30.0
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
        self._capacity = int(free * _DISK_SHARE if storage_gb is None else storage_gb * _GB)
        key = site_keystore(home).load_or_create(name)
        store = ReplicaStore.open(folder, quota_bytes=self._capacity)
        self._capacity = max(self._capacity, store.total_bytes())
        self._node = ProviderNode(key=key, chain_id=Digest(chain_id), params=params, store=store)
        self._name, self._address = name, own_address()
        self._offered_s = float("-inf")
        self._is_leaving = False
        self._turn = 0
        threading.Thread(target=self._work, name="work", daemon=True).start()

    @ray.method(concurrency_group="control")
    def hello(self) -> tuple[bytes, int, str]:
        """Public key, process id and node."""
        return self._node.public_key, os.getpid(), self._address

    @ray.method(concurrency_group="control")
    def leave(self) -> None:
        """Give everything away to others, and take nothing more."""
        self._is_leaving = True
        self._offered_s = float("-inf")

    @ray.method(concurrency_group="serve")
    def load_plain(self, deal: bytes, piece: int, first: int, count: int) -> list[bytes]:
        """Some chunks of a piece, unsealed."""
        return self._node.load_plain(Digest(deal), piece, first, count)

    @ray.method(concurrency_group="serve")
    def open_chunks(self, deal: bytes, piece: int, indices: Sequence[int]) -> list[bytes]:
        """Encoded openings of these chunks."""
        return [encode(opening) for opening in self._node.open_chunks(Digest(deal), piece, indices)]

    # its own work

    def _work(self) -> None:
        is_busy, height = True, 0
        while True:
            try:  # unless there is something to do, it is told when the chain has a new block
                held = -1 if is_busy else height
                work: ProviderWork = self._ask("storage_work", self._node.public_key, self._name, held)
                is_busy, height = False, work.height
                self._offer(work)
                self._node.keep_only({(task.deal, task.piece) for task in work.tasks})
                for task in work.tasks:
                    is_busy |= self._tend(task)
            except ray.exceptions.RayError as error:
                _log.warning("the supervisor does not answer: %s", cause_of(error))
                time.sleep(_RETRY_S)

    def _offer(self, work: ProviderWork) -> None:
        """Stake what it has and offer its room; after a failure, or to leave, offer again."""
        capacity = 0 if self._is_leaving else self._capacity
        is_as_wanted = work.offered_bytes == capacity and not work.suspended
        if is_as_wanted or (capacity != 0 and not (work.balance or work.stake)):
            return
        if time.monotonic() - self._offered_s < _REOFFER_S or (work.offered_bytes is None and not capacity):
            return
        self._offered_s, sequence = time.monotonic(), work.sequence
        if work.balance and work.offered_bytes is None:
            self._submit(self._node.sign(Stake(sequence=Number(sequence), amount=Credits(work.balance))))
            sequence += 1
        offer = OfferStorage(sequence=Number(sequence), node=self._address, capacity=capacity)
        self._submit(self._node.sign(offer))

    def _tend(self, task: PieceTask) -> bool:
        """One piece; whether there is more to do on it at once."""
        where = {"deal": task.deal.hex()}
        try:
            if task.challenge is not None:
                self._submit(self._node.prove(task))
            if task.status == ReplicaStatus.ASSIGNED.value:
                return self._take(task)
            if self._is_leaving and task.status == ReplicaStatus.ACTIVE.value and not task.leaving:
                self._submit(self._node.sign(LeavePiece(deal=task.deal, piece=task.piece, term=task.term)))
        except (StorageError, ReplicaCorruptError, ValueError) as error:
            _log.warning("piece %d: %s", task.piece, error, extra=where)
        return False

    def _take(self, task: PieceTask) -> bool:
        """Receive a piece, then seal it for a while, then say so."""
        replica = self._node.progress(task)
        if replica is None:
            manifest = decode(self._ask("piece_manifest", task.root), Manifest)
            replica = self._node.begin(task, manifest)
        if replica.state is ReplicaState.RECEIVING:
            self._receive(task, replica.received)
            return True
        if replica.state is ReplicaState.SEALING:
            until_s = time.monotonic() + _BUSY_S
            for _ in self._node.seal(task):
                if time.monotonic() > until_s:
                    return True
        commitment = self._node.commit(task)
        if commitment is not None:
            self._submit(commitment)
        return False

    def _receive(self, task: PieceTask, received: int) -> None:
        self._turn += 1
        sources = self._ask("storage_sources", task.deal)
        if sources.has_origin:
            origin = _Origin(require_actor(SUPERVISOR), task.root)
            self._node.receive(task, read_copy([origin], task.size, received, 0))
            return
        others = {
            number: _Holder(handle, task.deal, number)
            for number, name in sources.holders
            if name != self._name and (handle := find_actor(name)) is not None
        }
        if task.data_pieces == 1 and others:
            self._node.receive(task, read_copy(list(others.values()), task.size, received, self._turn))
        elif task.data_pieces > 1:
            self._node.receive_again(task, rebuild_shard(dict(others), task))

    def _submit(self, transaction: bytes) -> None:
        try:
            self._ask("submit", transaction)
        except ConsensusError as error:
            _log.info("a transaction was not taken: %s", error)

    def _ask(self, method: str, *arguments: object) -> Any:
        """Call the supervisor; an error of ours comes back as itself."""
        try:
            return ray.get(getattr(require_actor(SUPERVISOR), method).remote(*arguments), timeout=_ANSWER_S)
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from None


@dataclass(frozen=True, slots=True)
class _Origin:
    """The supervisor's own copy of a piece."""

    supervisor: Handle
    root: Digest

    def load(self, first: int, count: int) -> Sequence[bytes]:
        chunks: Sequence[bytes] = ray.get(
            self.supervisor.load_chunks.remote(self.root, first, count), timeout=_ANSWER_S
        )
        return chunks


@dataclass(frozen=True, slots=True)
class _Holder:
    """Another provider's copy of a piece."""

    provider: Handle
    deal: Digest
    piece: int

    def load(self, first: int, count: int) -> Sequence[bytes]:
        plain = self.provider.load_plain.remote(self.deal, self.piece, first, count)
        chunks: Sequence[bytes] = ray.get(plain, timeout=_ANSWER_S)
        return chunks
