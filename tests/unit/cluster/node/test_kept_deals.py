"""Deals from the end of a job to their own: who keeps what, is paid, is slashed, leaves, comes back."""

import pytest
from msgspec.structs import replace

from cluster.control.repair import RepairLimits
from cluster.node.provider_turn import ProviderTurns
from cluster.node.storage_work import PieceTask
from consensus.ledger.entries import DealStatus, ReplicaStatus
from consensus.primitives.integers import Digest
from consensus.records.storage import CloseDeal, PieceRoot, StorageTerms
from consensus.records.transactions import Transfer
from storage import schema
from storage.erasure import ErasureCode
from tests.kit.genesis import FUNDS, PARAMS, public_key, supervisor_keys
from tests.kit.ledger import held
from tests.kit.replicas import random_bytes
from tests.kit.storage_site import (
    CAPACITY,
    COLLATERAL,
    COPIES,
    NAMES,
    PRICE,
    PROOFS,
    SHARDS,
    SIZE,
    STAKED,
    StorageHost,
    StorageWorld,
)

MORE_SHARDS = replace(SHARDS, data_pieces=4, total_pieces=6)
SCHEMES = pytest.mark.parametrize("terms", [COPIES, SHARDS], ids=["copies", "shards"])


def lose(world: StorageWorld, name: str) -> None:
    world.hosts[name].lose_everything()


@pytest.mark.parametrize("terms", [COPIES, SHARDS, MORE_SHARDS], ids=["copies", "2+1", "4+2"])
def test_finished_weights_are_kept_on_as_many_machines_as_are_paid_for(terms: StorageTerms) -> None:
    world = StorageWorld(*(f"host-{number}" for number in range(7)))
    key = world.keep(terms)
    holders = world.holders(key)
    assert len(set(holders)) == len(holders) == terms.total_pieces
    assert [world.account(name).locked for name in holders] == [COLLATERAL] * terms.total_pieces
    assert world.desk.reasons == {}
    assert world.site.is_conserved()


@SCHEMES
def test_every_proof_is_paid_and_all_credits_add_up(terms: StorageTerms) -> None:
    world = StorageWorld()
    key = world.keep(terms)
    while world.deal(key).is_open:
        world.tick()
        assert world.site.is_conserved()
    deal = world.deal(key)
    assert (deal.status, deal.paid, deal.escrow) == (DealStatus.EXPIRED, 3 * PRICE * PROOFS, 0)
    assert sorted(world.account(name).balance for name in NAMES) == [0, *[PRICE * PROOFS] * 3]
    assert {world.account(name).locked for name in NAMES} == {0}
    assert world.transactions("prove-storage") == 3 * PROOFS
    assert world.state.totals.treasury == 0


def test_what_an_ended_deal_was_about_is_dropped_everywhere() -> None:
    world = StorageWorld()
    key = world.keep(SHARDS)
    roots = {piece.root for piece in world.deal(key).pieces}
    world.tick()
    assert not any(world.artifacts.has(root) for root in roots)
    assert world.artifacts.has(world.deal(key).root)
    world.until(lambda: not world.deal(key).is_open)
    world.tick()
    assert [host.store.total_bytes() for host in world.hosts.values()] == [0] * len(NAMES)
    assert [world.offer(name).used for name in NAMES] == [0] * len(NAMES)


def test_a_client_that_closes_gets_the_rest_back() -> None:
    world = StorageWorld()
    key = world.keep()
    world.until(lambda: world.deal(key).paid == 3 * PRICE)
    sequence = world.account("client").sequence
    world.site.send("client", CloseDeal(sequence=sequence, deal=key))
    world.tick(2)
    assert world.deal(key).status is DealStatus.CLOSED
    assert held(world.state) == world.state.totals.issued
    assert world.deal(key).escrow == 0
    assert all(host.store.total_bytes() == 0 for host in world.hosts.values())


@SCHEMES
def test_who_loses_its_piece_is_struck_then_slashed_and_replaced_from_the_others(terms: StorageTerms) -> None:
    world = StorageWorld()
    key = world.keep(terms)
    free = (set(NAMES) - set(world.holders(key))).pop()
    loser, reads = world.holders(key)[0], world.origin_reads
    lose(world, loser)
    world.until(lambda: world.offer(loser).strikes == 1)
    assert world.account(loser).stake == STAKED
    world.until(lambda: world.account(loser).stake == STAKED - COLLATERAL)
    assert world.state.totals.treasury == COLLATERAL
    world.until(lambda: world.is_whole(key))
    assert world.holders(key)[0] == free
    assert world.origin_reads == reads
    assert world.site.is_conserved()
    proofs = world.offer(free).proofs
    world.until(lambda: world.offer(free).proofs > proofs)


@SCHEMES
def test_pieces_that_are_lost_beyond_repair_are_said_to_be(terms: StorageTerms) -> None:
    world = StorageWorld()
    key = world.keep(replace(terms, proofs=20))
    for name in world.holders(key):
        lose(world, name)
    world.until(lambda: not any(world.holders(key)))
    world.tick()
    assert f"lost: {terms.data_pieces} pieces are needed, 0 are left" in world.desk.reasons[key]
    assert world.site.is_conserved()


def test_who_comes_back_after_it_was_slashed_is_given_its_piece_again() -> None:
    """Three copies and three machines: nobody else could take it, and it has not to be sealed again."""
    world = StorageWorld(*NAMES[:3])
    key = world.keep(replace(COPIES, proofs=30))
    gone = world.host_of(key)
    gone.is_running = False
    world.until(lambda: world.account(gone.name).stake == STAKED - COLLATERAL)
    before = gone.node.sealed_pieces()
    gone.is_running = True
    world.until(lambda: world.is_whole(key))
    assert gone.node.sealed_pieces() == before
    assert world.holders(key)[0] == gone.name


@SCHEMES
def test_who_leaves_is_replaced_first_and_keeps_its_collateral(terms: StorageTerms) -> None:
    world = StorageWorld()
    key = world.keep(terms)
    leaver = world.host_of(key, 1)
    leaver.turns.leave()
    reads = world.origin_reads
    while leaver.name in world.holders(key):
        assert world.is_whole(key)
        world.tick()
    assert world.is_whole(key)
    assert (world.account(leaver.name).stake, world.account(leaver.name).locked) == (STAKED, 0)
    assert world.offer(leaver.name).capacity == 0
    assert {world.offer(name).capacity for name in set(NAMES) - {leaver.name}} == {CAPACITY}
    assert world.origin_reads == reads
    world.tick(2)
    assert leaver.store.total_bytes() == 0
    world.until(lambda: not world.deal(key).is_open)
    assert world.account(leaver.name).stake == STAKED
    assert world.deal(key).paid >= 3 * PRICE * PROOFS - PRICE  # the successor may come too late for one challenge


class IdleTurns(ProviderTurns):
    """Takes what it is given and does nothing with it."""

    def _take(self, task: PieceTask) -> bool:
        del task
        return False


class IdleHost(StorageHost):
    TURNS = IdleTurns


def test_who_never_delivers_is_dropped_and_avoided() -> None:
    world = StorageWorld(*NAMES[:2])
    world.desk.limits = RepairLimits(patience_s=60)
    idle = world.add(IdleHost(world, "idle"))
    job = world.complete_job()
    world.until(lambda: world.account(idle.name).locked > 0)
    key = world.state.jobs[job].deal
    assert key is not None
    world.add(StorageHost(world, "late"))
    world.until(lambda: world.is_whole(key))
    assert idle.name not in world.holders(key)
    assert (world.account(idle.name).stake, world.account(idle.name).locked) == (STAKED, 0)
    assert world.transactions("drop-piece") == 1
    lose(world, "late")
    world.until(lambda: world.account("late").stake < STAKED)
    assert world.site.is_conserved()


def test_a_deal_waits_for_machines_and_says_so() -> None:
    world = StorageWorld(*NAMES[:2])
    job = world.complete_job()
    world.tick(4)
    key = world.state.jobs[job].deal
    assert key is not None
    assert "no provider without a piece of this deal has" in world.desk.reasons[key]
    assert world.holders(key).count("") == 1
    world.add(StorageHost(world, "south"))
    world.until(lambda: world.is_whole(key))
    assert world.desk.reasons == {}


def test_no_machine_is_given_more_than_it_has_room_for() -> None:
    world = StorageWorld()
    world.hosts["north"] = StorageHost(world, "north", capacity=10_000)
    keys = [world.keep(replace(COPIES, proofs=50), seed=seed) for seed in range(3)]
    assert all("north" not in world.holders(key) for key in keys)
    assert world.offer("north").used == 0


def test_stakes_limit_how_much_a_provider_is_given() -> None:
    world = StorageWorld(*NAMES[:3], stake=COLLATERAL)
    first = world.keep(replace(COPIES, proofs=50))
    job = world.complete_job(seed=1)
    world.tick(5)
    second = world.state.jobs[job].deal
    assert world.is_whole(first)
    assert second is not None
    assert world.holders(second) == ["", "", ""]
    assert "stake" in world.desk.reasons[second]


def test_blocks_are_asked_for_only_while_a_deal_waits_for_one() -> None:
    world = StorageWorld()
    world.tick(3)
    before = world.site.node.chain.height
    world.tick(5)
    assert world.site.node.chain.height == before
    key = world.keep()
    height = world.site.node.chain.height
    world.tick(5)
    assert world.site.node.chain.height == height + 5
    world.until(lambda: not world.deal(key).is_open)
    world.tick(2)
    height, pulses = world.site.node.chain.height, world.transactions("pulse")
    assert pulses > 0
    world.tick(10)
    assert (world.site.node.chain.height, world.transactions("pulse")) == (height, pulses)


def test_a_deal_without_providers_asks_for_no_blocks() -> None:
    world = StorageWorld()
    for host in world.hosts.values():
        host.is_running = False
    world.open_client_deal()
    world.tick(2)
    height = world.site.node.chain.height
    world.tick(5)
    assert world.site.node.chain.height == height
    assert world.transactions("pulse") == 0


@SCHEMES
def test_everything_goes_on_although_all_processes_start_again_with_every_block(terms: StorageTerms) -> None:
    world = StorageWorld()
    job = world.complete_job(terms)
    while (key := world.state.jobs[job].deal) is None or world.deal(key).is_open:
        world.tick()
        world.open()
        for host in world.hosts.values():
            host.start()
        assert world.site.is_conserved()
        assert world.site.node.chain.height < 100
    assert world.deal(key).paid == 3 * PRICE * PROOFS
    assert sum(world.offer(name).strikes for name in NAMES) == 0


def test_a_supervisor_that_starts_again_remembers_that_providers_have_everything() -> None:
    world = StorageWorld()
    key = world.keep(replace(COPIES, proofs=20))
    reads = world.origin_reads
    world.open()
    lose(world, world.holders(key)[0])
    world.until(lambda: not world.is_whole(key))
    world.until(lambda: world.is_whole(key))
    assert world.origin_reads == reads


def test_a_machine_is_given_credits_to_stake_once() -> None:
    world = StorageWorld("north")
    world.tick(3)
    assert (world.account("north").stake, world.account("north").balance) == (STAKED, 0)
    supervisor = supervisor_keys(1)[0].public_key
    assert world.state.account(supervisor).balance == FUNDS - STAKED
    world.tick(10)
    assert world.state.account(supervisor).balance == FUNDS - STAKED
    assert world.offer("north").capacity == CAPACITY


def test_a_supervisor_without_credits_gives_none_and_offers_are_not_made() -> None:
    world = StorageWorld("north")
    key = supervisor_keys(1)[0]
    message = Transfer(sequence=0, recipient=public_key("friend"), amount=FUNDS - STAKED + 1)
    world.site.send(key, message)
    world.tick(3)
    assert public_key("north") not in world.state.providers
    world.site.send("client", Transfer(sequence=0, recipient=public_key("north"), amount=500))
    world.tick(3)
    assert world.account("north").stake == 500


def test_a_damaged_shard_that_is_to_be_dropped_stops_nothing_else() -> None:
    world = StorageWorld()
    root = world.deal(world.keep(SHARDS)).pieces[0].root
    world.memory.put(schema.manifest_key(root), b"damage")
    key = world.keep(COPIES, seed=1)
    world.until(lambda: not world.deal(key).is_open)
    assert world.deal(key).paid == 3 * PRICE * PROOFS


def test_a_replica_that_cannot_be_checked_stops_nothing_else() -> None:
    world = StorageWorld()
    job = world.complete_job(replace(COPIES, proofs=20))
    world.until(lambda: world.state.jobs[job].deal is not None)
    deal = world.state.jobs[job].deal or Digest(bytes(32))
    sealed = [ReplicaStatus.SEALED] * 3
    world.until(lambda: [each.holder.status for each in world.deal(deal).pieces if each.holder] == sealed)
    world.site.store.put(schema.piece_manifest_key(world.deal(deal).root), b"damage")
    key = world.keep(COPIES, seed=1)
    world.until(lambda: not world.deal(key).is_open)
    assert world.deal(key).paid > 2 * PRICE * PROOFS


def test_a_damaged_replica_costs_its_provider_no_other_piece() -> None:
    """Its record is unreadable: the piece is dropped and fails; the other one of the same store goes on."""
    world = StorageWorld(*NAMES[:3])
    keys = [world.keep(replace(COPIES, proofs=20), seed=seed) for seed in range(2)]
    host = world.host_of(keys[0])
    record = next(entry for entry, _ in host.memory.scan(schema.REPLICA) if keys[0] in entry)
    host.memory.put(record, b"damage")
    world.until(lambda: world.account(host.name).stake == STAKED - COLLATERAL)
    world.tick(PARAMS.challenge_interval * 2)
    assert host.name in world.holders(keys[1])
    assert world.state.totals.treasury == COLLATERAL


def shards_here(world: StorageWorld) -> int:
    """How many artifacts are at the site besides the one that was put there."""
    return len(list(world.artifacts.list_artifacts())) - 1


def cut(world: StorageWorld) -> tuple[Digest, tuple[PieceRoot, ...]]:
    """Shards for a deal that a client may open."""
    root = world.artifacts.put(random_bytes(SIZE))
    _, manifests = world.kept.make_pieces(root, 2, 3)
    return root, tuple(PieceRoot(root=each.root, size=each.size) for each in manifests)


def test_shards_for_a_clients_deal_go_once_providers_keep_them() -> None:
    world = StorageWorld()
    _, pieces = cut(world)
    assert shards_here(world) == 3
    key = world.open_client_deal(data_pieces=2, pieces=pieces, proofs=50)
    world.until(lambda: world.is_whole(key))
    world.tick(2)
    assert shards_here(world) == 0
    lose(world, world.holders(key)[0])
    world.until(lambda: not world.is_whole(key))
    world.until(lambda: world.is_whole(key))


@pytest.mark.parametrize("is_started_again", [False, True])
def test_shards_that_no_deal_names_go_after_an_hour_or_with_the_process(is_started_again: bool) -> None:
    world = StorageWorld()
    cut(world)
    world.tick(3)
    assert shards_here(world) == 3
    if is_started_again:
        world.open()
    else:
        world.site.now_ms += 3_600_000
    world.tick()
    assert shards_here(world) == 0


def test_what_a_client_uploaded_stays_although_it_has_the_bytes_of_a_shard() -> None:
    """Whoever chooses an artifact so that a shard of it is another's dataset does not get that deleted."""
    world = StorageWorld()
    whole = random_bytes(SIZE)
    root, pieces = cut(world)
    shard = b"".join(ErasureCode.of(2, 3).encode_shard(whole, 0))
    uploaded = world.artifacts.put(shard)
    assert uploaded != pieces[0].root
    key = world.open_client_deal(data_pieces=2, pieces=pieces)
    world.until(lambda: not world.deal(key).is_open)
    world.tick(2)
    assert {each.root for each in world.artifacts.list_artifacts()} == {root, uploaded}
    assert b"".join(world.artifacts.open_reader(uploaded)) == shard


def test_withheld_data_is_given_to_no_provider() -> None:
    world = StorageWorld()
    root = world.artifacts.put(random_bytes(SIZE))
    world.kept.is_withheld = lambda found: found == root
    key = world.open_client_deal()
    world.tick(5)
    assert not world.is_whole(key)
    assert world.origin_reads == 0
    world.kept.is_withheld = lambda _: False
    world.until(lambda: world.is_whole(key))
