"""Providers that cheat against a whole site: real seals, proofs, checks, probes and blocks, in memory.

What the ledger or the mathematics refuse by themselves is in test_storage_credits and test_storage_cheats. Here it is
counted what a cheat earns and loses while everybody else does what they always do.
"""

import math

import pytest
from msgspec.structs import replace

from cluster.node.provider import ProviderNode
from cluster.node.provider_turn import ProviderTurns
from cluster.node.storage_work import PieceTask
from consensus.crypto.signing import decode_signed
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.storage import (
    ProveStorage,
    StorageTerms,
)
from consensus.storage.challenge import draw_sectors
from consensus.storage.sectors import SECTOR_BYTES, sector_count
from tests.kit.genesis import PARAMS, make_params
from tests.kit.storage_site import (
    COLLATERAL,
    COPIES,
    NAMES,
    PRICE,
    SHARDS,
    STAKED,
    StorageHost,
    StorageWorld,
    world_with,
)

LONG = replace(COPIES, proofs=30)


def loss(world: StorageWorld, name: str = "cheat-0") -> int:
    """What an account has less than at the beginning; negative if it gained."""
    account = world.account(name)
    return STAKED - account.stake - account.balance


# service


class Silent(StorageHost):
    """Proves and hands out nothing."""

    def load_plain(self, deal: Digest, piece: int, first: int, count: int) -> list[bytes]:
        return []


class Junk(StorageHost):
    """Proves and hands out something else."""

    def load_plain(self, deal: Digest, piece: int, first: int, count: int) -> list[bytes]:
        return [bytes(len(chunk)) for chunk in super().load_plain(deal, piece, first, count)]


@pytest.mark.parametrize("kind", [Silent, Junk])
def test_proofs_without_service_cost_the_collateral_although_all_are_good(kind: type[StorageHost]) -> None:
    world = world_with(kind)
    key = world.keep(LONG)
    while "cheat-0" in world.holders(key):
        assert world.probe(key).count(False) == 1
        world.tick()
        assert world.site.node.chain.height < 100
    assert world.slashed("cheat-0") == COLLATERAL
    assert world.offer("cheat-0").paid <= PRICE * (PARAMS.storage_grace + 1)
    assert loss(world) > 0
    assert {world.offer(name).strikes for name in NAMES[:2]} == {0}


@pytest.mark.parametrize("kind", [Silent, Junk])
@pytest.mark.parametrize("terms", [LONG, replace(SHARDS, proofs=30, total_pieces=4)], ids=["copies", "shards"])
def test_who_hands_out_nothing_does_not_keep_lost_pieces_from_being_made_again(
    kind: type[StorageHost], terms: StorageTerms
) -> None:
    """It is among those that the others read from: they check, leave it out and read on."""
    world = world_with(kind, honest=NAMES[: terms.total_pieces - 1])
    key = world.keep(terms)
    world.add(StorageHost(world, "fresh"))
    lost = next(name for name in world.holders(key) if name != "cheat-0")
    world.hosts[lost].lose_everything()
    world.until(lambda: world.slashed(lost) > 0)
    world.until(lambda: world.is_whole(key))


def test_a_bad_source_does_not_cost_its_readers_the_proofs_of_their_other_pieces() -> None:
    """Every source of a piece fails for good: who is to take it goes on proving all else, and is not struck."""
    world = StorageWorld(*NAMES[:3])
    first = world.keep(replace(COPIES, proofs=60))
    second = world.keep(replace(COPIES, proofs=60), seed=1)
    for name in NAMES[:2]:
        world.hosts[name] = _changed(world.hosts[name], Silent)
    lost = world.hosts["south"]
    task = next(iter(lost.store.list_replicas()))
    kept = first if task.deal == second else second
    lost.store.delete(task.deal, task.piece)
    world.until(lambda: world.slashed("south") == COLLATERAL)
    world.add(StorageHost(world, "fresh"))
    before = world.offer("south").proofs
    world.tick(30)
    assert "south" in world.holders(kept)
    assert world.offer("south").proofs > before
    assert world.slashed("south") == COLLATERAL


def _changed(host: StorageHost, kind: type[StorageHost]) -> StorageHost:
    host.__class__ = kind
    return host


# proofs


class LateTurns(ProviderTurns):
    """Sends each proof when its deadline is over."""

    def _answer(self, task: PieceTask) -> bool:
        host = self.site.world.hosts[self.name]  # type: ignore[attr-defined]
        if task.challenge is not None:
            host.proofs.setdefault(task.challenge, self.node.prove(task))
        height = host.world.site.node.chain.height
        for due in [due for due in host.proofs if height > due + PARAMS.deadline_blocks]:
            self._submit(host.proofs.pop(due))
        return False


class Late(StorageHost):
    TURNS = LateTurns

    def __init__(self, world: StorageWorld, name: str) -> None:
        self.proofs: dict[int, bytes] = {}
        super().__init__(world, name)


class ReplayingTurns(ProviderTurns):
    """Sends its first proof again and again, and with the height of each new challenge."""

    def _answer(self, task: PieceTask) -> bool:
        host = self.site.world.hosts[self.name]  # type: ignore[attr-defined]
        if task.challenge is None:
            return False
        if host.first is None:
            host.first = self.node.prove(task)
            self._submit(host.first)
        old = decode(decode_signed(host.first).body, ProveStorage)
        self._submit(host.first)
        self._submit(self.node.sign(replace(old, height=task.challenge)))
        return False


class Replaying(StorageHost):
    TURNS = ReplayingTurns

    def __init__(self, world: StorageWorld, name: str) -> None:
        self.first: bytes | None = None
        super().__init__(world, name)


@pytest.mark.parametrize(("kind", "paid"), [(Late, 0), (Replaying, PRICE)])
def test_late_and_old_proofs_end_in_the_loss_of_the_collateral(kind: type[StorageHost], paid: int) -> None:
    world = world_with(kind)
    key = world.keep(LONG, size=100_000)  # of so many sectors that no two draws are the same
    world.until(lambda: "cheat-0" not in world.holders(key))
    assert (world.slashed("cheat-0"), world.offer("cheat-0").paid) == (COLLATERAL, paid)
    assert world.offer("cheat-0").strikes == PARAMS.storage_grace + 1


DROPPED_PERCENT = (1, 10, 50)
SECTORS, ASKED = 100, PARAMS.challenge_sectors


class DroppingNode(ProviderNode):
    """Has only the first sectors of what it sealed, and all hashes; what it lost it replaces by zeros."""

    percent: int

    def prove(self, task: PieceTask) -> bytes:
        message = decode(decode_signed(super().prove(task)).body, ProveStorage)
        assert task.beacon is not None
        drawn = draw_sectors(task.beacon, task.deal, task.piece, self.public_key, SECTORS, ASKED)
        kept = SECTORS - SECTORS * self.percent // 100
        sectors = tuple(
            sector if index < kept else bytes(SECTOR_BYTES)
            for index, sector in zip(drawn, message.sectors, strict=True)
        )
        return self.sign(replace(message, sectors=sectors))


class Dropping(StorageHost):
    NODE = DroppingNode


def test_dropped_sectors_go_unpaid_as_often_as_the_arithmetic_says() -> None:
    """Two cheats at each level over 25 challenges. Grace is without end here, so that all of them count."""
    world, count = StorageWorld("north", params=make_params(storage_grace=1_000_000)), 25
    for level in DROPPED_PERCENT:
        for twin in range(2):
            world.add(Dropping(world, f"{level} {twin}")).node.percent = level  # type: ignore[attr-defined]
    terms = replace(COPIES, total_pieces=len(world.hosts), proofs=count)
    assert sector_count(SECTORS * SECTOR_BYTES) == SECTORS
    key = world.keep(terms, size=SECTORS * SECTOR_BYTES)
    world.until(lambda: not world.deal(key).is_open, limit=1_000)
    for level in DROPPED_PERCENT:
        cheats = [world.offer(f"{level} {twin}") for twin in range(2)]
        asked, missed = sum(each.proofs + each.strikes for each in cheats), sum(each.strikes for each in cheats)
        expected = 1 - math.comb(SECTORS - level, ASKED) / math.comb(SECTORS, ASKED)
        spread = math.sqrt(asked * expected * (1 - expected))
        assert asked >= 2 * (count - 2)
        assert abs(missed - asked * expected) <= 5 * spread
        assert sum(each.paid for each in cheats) == PRICE * (asked - missed)
    assert world.offer("north").strikes == 0


def test_half_of_a_replica_does_not_earn_its_collateral() -> None:
    world = StorageWorld("north", "east")
    cheat = world.add(Dropping(world, "cheat-0"))
    cheat.node.percent = 50  # type: ignore[attr-defined]
    key = world.keep(LONG, size=SECTORS * SECTOR_BYTES)
    world.until(lambda: "cheat-0" not in world.holders(key), limit=200)
    assert loss(world) > 0
