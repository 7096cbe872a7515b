"""What clients and strangers can say about kept artifacts, and what the site does not know: its known limits."""

import pytest
from msgspec.structs import replace

from cluster.control.repair import RepairLimits
from cluster.node.provider_turn import ProviderTurns
from cluster.node.storage_work import PieceTask
from consensus.ledger.entries import ReplicaStatus
from consensus.primitives.integers import Digest
from consensus.records.storage import (
    CloseDeal,
    OfferStorage,
    PieceRoot,
    Stake,
)
from consensus.records.transactions import Transfer
from tests.kit.genesis import public_key
from tests.kit.storage_site import (
    COPIES,
    NAMES,
    SIZE,
    STAKED,
    StorageHost,
    StorageWorld,
    world_with,
)

LONG = replace(COPIES, proofs=30)


def test_a_clients_deal_does_not_delete_the_weights_of_others() -> None:
    """It calls somebody's weights shards of something, and closes: shards of deals that are over are dropped."""
    world = StorageWorld()
    victim = world.keep()
    root = world.deal(victim).root
    world.tick()
    shard = PieceRoot(root=root, size=SIZE)
    job = world.deal(victim).job
    deal = world.open_client_deal(seed=9, size=2 * SIZE, data_pieces=2, pieces=(shard,) * 3, job=job)
    world.tick(3)
    world.site.send("client", CloseDeal(sequence=world.account("client").sequence, deal=deal))
    world.tick(3)
    assert world.artifacts.has(root)


def test_a_clients_deal_about_nothing_here_does_not_stop_the_supervisor() -> None:
    """Nobody can be assigned its pieces; that is said, and all other deals go on."""
    world = StorageWorld()
    nothing = PieceRoot(root=Digest(bytes(32)), size=SIZE)
    deal = world.open_client_deal(pieces=(nothing,) * 2, root=nothing.root)
    key = world.keep()
    world.until(lambda: world.offer(world.holders(key)[0]).proofs > 0)
    assert world.holders(deal) == ["", ""]
    assert "lost" in world.desk.reasons[deal]


def test_a_clients_deal_about_something_here_is_kept_like_any_other() -> None:
    world = StorageWorld()
    deal = world.open_client_deal()
    world.until(lambda: world.is_whole(deal))
    world.until(lambda: world.deal(deal).paid > 0)


@pytest.mark.parametrize("claim", [(-1,), (10**6,), (0, 0)])
def test_words_about_pieces_that_do_not_exist_do_not_reach_the_ledger(claim: tuple[int, ...]) -> None:
    """A provider says what it has sealed. What nobody asked for, it may say as it likes."""
    world = StorageWorld(*NAMES[:2])
    job = world.complete_job(LONG)
    world.tick(4)
    key = world.state.jobs[job].deal
    assert key is not None
    claims = tuple((key, number) for number in claim)
    world.answers.work(public_key("stranger"), "stranger", claims)
    world.tick()
    assert public_key("stranger") not in {each.provider for p in world.deal(key).pieces for each in p.replicas}


class ClaimingTurns(ProviderTurns):
    """Says that it has every vacant piece, and delivers none."""

    def step(self) -> None:
        world = self.site.world  # type: ignore[attr-defined]
        claims = tuple((key, number) for key, deal in world.state.deals.items() for number in range(len(deal.pieces)))
        work = world.answers.work(self.node.public_key, self.name, claims)
        self._offer(work)


class Claiming(StorageHost):
    TURNS = ClaimingTurns


def test_who_claims_vacant_pieces_and_does_not_deliver_gets_none_of_them_twice() -> None:
    world = world_with(Claiming)
    world.desk.limits = RepairLimits(patience_s=40)
    job = world.complete_job(LONG)
    world.until(lambda: world.account("cheat-0").locked > 0)
    world.add(StorageHost(world, "late"))
    key = world.state.jobs[job].deal
    assert key is not None
    world.until(lambda: world.is_whole(key))
    assert world.transactions("drop-piece") <= COPIES.total_pieces


# known limits


def test_known_a_provider_that_names_another_machine_is_believed() -> None:
    """Its node is its own word (docs/STORAGE.md): two accounts on one machine get two pieces of one deal."""
    world = StorageWorld("north")
    for number in range(2):
        world.add(StorageHost(world, f"twin-{number}", node=f"elsewhere-{number}"))
    key = world.keep()
    assert {"twin-0", "twin-1"} <= set(world.holders(key))


def test_known_offers_of_machines_that_do_not_exist_keep_a_machine_from_taking_two_pieces() -> None:
    """For a stake as large as the collateral somebody can hold up a deal with more pieces than machines."""
    world = StorageWorld("north")
    world.add(StorageHost(world, "second", node="north"))
    message = Transfer(sequence=0, recipient=public_key("ghost"), amount=STAKED)
    world.site.send("other", message)
    world.site.send("ghost", Stake(sequence=0, amount=STAKED))
    world.site.send("ghost", OfferStorage(sequence=1, node="nowhere", capacity=10**9))
    job = world.complete_job(replace(COPIES, total_pieces=2))
    world.tick(10)
    key = world.state.jobs[job].deal
    assert key is not None
    assert "" in world.holders(key)
    assert "silent: nowhere" in world.desk.reasons[key]
    assert all(each.status is not ReplicaStatus.ASSIGNED for piece in world.deal(key).pieces for each in piece.replicas)


class IdleTurns(ProviderTurns):
    """Takes what it is given and does nothing with it."""

    def _take(self, task: PieceTask) -> bool:
        del task
        return False


class Idle(StorageHost):
    TURNS = IdleTurns


def test_idle_providers_hold_up_only_what_they_were_given() -> None:
    """They lose no collateral, but the next deal's piece goes to others, once they have as much as one may have."""
    world = world_with(Idle, Idle, Idle, Idle, honest=["north"])
    world.desk.limits = RepairLimits(patience_s=60)
    world.complete_job(replace(LONG, total_pieces=5))
    world.until(lambda: sum(world.account(f"cheat-{number}").locked > 0 for number in range(4)) >= 3)
    job = world.complete_job(replace(LONG, total_pieces=1), seed=1)
    world.until(lambda: world.state.jobs[job].deal is not None)
    key = world.state.jobs[job].deal
    assert key is not None
    dropped = world.transactions("drop-piece")
    world.until(lambda: world.is_whole(key), limit=200)
    assert world.transactions("drop-piece") > dropped


def test_known_providers_keep_what_they_are_paid_nothing_for() -> None:
    """A deal may name no price. Whoever may use the site can fill its providers' room for nothing."""
    world = StorageWorld()
    before = world.account("client").balance
    deal = world.open_client_deal(price=0, collateral=0, proofs=10**6)
    world.until(lambda: world.is_whole(deal))
    assert world.account("client").balance == before
    assert sum(world.offer(name).used > 0 for name in NAMES) == 3
