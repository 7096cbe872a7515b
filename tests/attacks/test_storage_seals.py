"""Replicas that are not one's own seal, and seals made only when they are asked for, against a whole site in memory."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cluster.genesis import site_params
from cluster.node.provider import ProviderNode
from cluster.node.provider_turn import ProviderTurns
from cluster.node.storage_work import PieceTask
from cluster.settings import SiteSettings
from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from consensus.records.storage import (
    CommitReplica,
    DealId,
)
from consensus.storage.seal import Seal
from consensus.storage.sectors import SECTOR_BYTES, group_root
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import seal_replica
from tests.kit.genesis import make_params, public_key
from tests.kit.replicas import MemoryReplica, chunk_of, random_bytes
from tests.kit.storage_site import (
    COLLATERAL,
    COPIES,
    SIZE,
    StorageHost,
    StorageWorld,
    world_with,
)

LONG = replace(COPIES, proofs=30)


class ForeignNode(ProviderNode):
    """Seals as if it was north, so that both could keep one replica between them."""

    def _seal(self, deal: Digest, piece: int, size: int) -> Seal:
        floor = self._params.seal_floor_bytes
        return Seal.for_piece(deal, piece, public_key("north"), size=size, floor_bytes=floor)


class HastyNode(ProviderNode):
    """Seals with a single pass."""

    def _seal(self, deal: Digest, piece: int, size: int) -> Seal:
        return replace_passes(super()._seal(deal, piece, size), 1)


class PlainNode(ProviderNode):
    """Does not seal at all: its replica is the piece, padded."""

    def commit(self, task: PieceTask) -> bytes | None:
        self._root = self._plain(task.deal, task.piece).root
        return self.sign(CommitReplica(deal=task.deal, piece=task.piece, term=task.term, replica=self._root))

    def _tree(self, deal: Digest, piece: int) -> ReplicaTree:
        return self._plain(deal, piece)

    def _plain(self, deal: Digest, piece: int) -> ReplicaTree:
        seal = self._seal_of(deal, piece)
        groups = [group_root(self._load_padded(deal, piece, index)) for index in range(seal.chunk_count)]
        return ReplicaTree(seal.replica_size, groups)

    def _load_padded(self, deal: Digest, piece: int, index: int) -> bytes:
        return self._store.load_chunk(deal, piece, index)


class PlainTurns(ProviderTurns):
    """Says that a piece is sealed as soon as it has it."""

    def _take(self, task: PieceTask) -> bool:
        if self.node.progress(task) is None:
            self.node.begin(task, self.site.manifest(task.root))
            self.node.receive(task, self._chunks(task, 0))
        commitment = self.node.commit(task)
        if commitment is not None:
            self._submit(commitment)
        return False


class Foreign(StorageHost):
    NODE = ForeignNode


class Hasty(StorageHost):
    NODE = HastyNode


class Plain(StorageHost):
    NODE = PlainNode
    TURNS = PlainTurns


class Mute(StorageHost):
    """Seals, and opens nothing of it."""

    def open_chunks(self, deal: Digest, piece: int, indices: Sequence[int]) -> list[bytes]:
        return []


class Babbling(StorageHost):
    """Opens what no record is."""

    def open_chunks(self, deal: Digest, piece: int, indices: Sequence[int]) -> list[bytes]:
        return [b"\xff" for _ in indices]


class Swapped(StorageHost):
    """Opens the first chunk whatever it is asked for."""

    def open_chunks(self, deal: Digest, piece: int, indices: Sequence[int]) -> list[bytes]:
        return [encode(opening) for opening in self.node.open_chunks(deal, piece, [0] * len(indices))]


def replace_passes(seal: Seal, passes: int) -> Seal:
    return Seal(size=seal.size, passes=passes, key=seal.key)


@pytest.mark.parametrize("kind", [Foreign, Hasty, Plain, Mute, Babbling])
def test_what_is_not_ones_own_seal_is_refused_at_its_check_and_costs_the_collateral(kind: type[StorageHost]) -> None:
    world = world_with(kind, params=make_params(seal_floor_bytes=3 * SIZE))
    job = world.complete_job(LONG)
    world.until(lambda: world.slashed("cheat-0") > 0)
    assert world.slashed("cheat-0") == COLLATERAL
    assert world.offer("cheat-0").paid == 0
    assert world.state.totals.treasury == COLLATERAL
    key = world.state.jobs[job].deal
    assert key is not None
    world.add(StorageHost(world, "late"))
    world.until(lambda: world.is_whole(key))
    assert "cheat-0" not in world.holders(key)


def test_another_chunk_than_the_one_that_is_drawn_is_refused() -> None:
    world = world_with(Swapped, honest=["north"])
    del world.hosts["north"]
    world.complete_job(replace(LONG, total_pieces=1), size=CHUNK_BYTES + 1)
    world.until(lambda: world.slashed("cheat-0") > 0)


def test_one_copy_under_two_identities_earns_one_pay_and_loses_one_collateral() -> None:
    """North is honest, and would be paid twice for its replica by the twin that commits to the very same one."""
    world = StorageWorld("north", "east")
    world.add(Foreign(world, "cheat-0"))
    job = world.complete_job(LONG)
    world.until(lambda: world.slashed("cheat-0") > 0)
    key = world.state.jobs[job].deal
    assert key is not None
    world.until(lambda: world.offer("north").proofs > 0)
    assert world.offer("cheat-0").proofs == 0


# making it again on demand


def test_one_sector_of_a_replica_depends_on_every_byte_of_the_piece() -> None:
    """So who keeps only the piece has to run the whole chain for the smallest answer, its first sector included."""
    size = 4 * SECTOR_BYTES
    piece = random_bytes(size)
    seal = Seal.for_piece(DealId(bytes(32)), 0, public_key("north"), size=size, floor_bytes=4 * size)
    changed = piece[:-1] + bytes([piece[-1] ^ 1])
    sealed = [MemoryReplica.sealed(seal, each).data for each in (piece, changed)]
    assert seal.passes == 4
    for start in range(0, size, SECTOR_BYTES):
        assert sealed[0][start : start + SECTOR_BYTES] != sealed[1][start : start + SECTOR_BYTES]


class OnDemandTurns(ProviderTurns):
    """Keeps the piece alone. For an answer it seals anew, as many steps in a block as its machine can do."""

    def _answer(self, task: PieceTask) -> bool:
        host = self.site.world.hosts[self.name]  # type: ignore[attr-defined]
        if task.challenge is not None and host.seal_again(task):
            self._submit(self.node.prove(task))
        return False


class OnDemand(StorageHost):
    TURNS = OnDemandTurns

    def __init__(self, world: StorageWorld, name: str) -> None:
        self.piece, self.steps_a_block = b"", 0
        self.challenge: int | None = None
        self.height = 0
        super().__init__(world, name)

    def seal_again(self, task: PieceTask) -> bool:
        """Seal for a block's time; whether the replica is there again."""
        if self.challenge != task.challenge:
            seal = Seal.for_piece(task.deal, task.piece, self.node.public_key, size=task.size, floor_bytes=FLOOR)
            self.challenge, self.replica = task.challenge, MemoryReplica()
            self.sealing = seal_replica(seal, lambda index: chunk_of(self.piece, index), self.replica)
        if self.height != self.world.site.node.chain.height:
            self.height = self.world.site.node.chain.height
            for _ in range(self.steps_a_block):
                next(self.sealing, None)
        return self.replica.progress is not None and self.replica.progress.passes == FLOOR // task.size


FLOOR = 3 * CHUNK_BYTES


def test_sealing_on_demand_is_too_late_unless_it_is_faster_than_the_floor_allows() -> None:
    """Scaled: the floor is 3 chunks of work and the deadline 2 blocks, so one chunk of work a block is too slow.

    At the real floor (32 MiB, at about 1 MB/s and core) and the real deadline (3 blocks) a seal takes about twice the
    deadline. Whoever computes square roots several times as fast as a core can keep less than it is paid for.
    """
    world = StorageWorld(params=make_params(seal_floor_bytes=FLOOR))
    world.hosts.clear()
    cheat = OnDemand(world, "cheat-0")
    cheat.piece, cheat.steps_a_block = random_bytes(CHUNK_BYTES), 1
    world.add(cheat)
    key = world.keep(replace(COPIES, total_pieces=1, proofs=1), size=CHUNK_BYTES)
    root = cheat.store.load(key, 0).replica
    world.until(lambda: not world.deal(key).is_open)
    assert (world.offer("cheat-0").proofs, world.offer("cheat-0").strikes) == (0, 1)
    assert next(cheat.sealing, None) is None  # by now it is through
    assert cheat.replica.tree.root == root


def test_a_seal_of_a_site_takes_twice_as_long_as_its_challenges_may() -> None:
    """For a core that seals a megabyte in a second (docs/adr/0015-sealing.md)."""
    params = site_params(SiteSettings())
    deadline_s = params.deadline_blocks * params.quiet_after_ms / 1000
    assert params.seal_floor_bytes / 1_000_000 >= 2 * deadline_s
