"""A provider's turns: challenges before all else, long work in short pieces, and going on after a restart."""

from itertools import count

import pytest
from msgspec.structs import replace

from consensus.primitives.digest import CHUNK_BYTES
from consensus.primitives.integers import Digest
from consensus.records.storage import PieceRoot
from storage.artifact_manifest import Manifest
from storage.replica_record import Replica
from tests.kit.storage_site import BINDING, COPIES, NAMES, StorageHost, StorageWorld, WorldSite

BIG = 40 * CHUNK_BYTES


class HurriedHost(StorageHost):
    def start(self) -> None:
        super().start()
        ticking = count(0, 2)
        self.turns.clock_s = lambda: float(next(ticking))

    @property
    def replica(self) -> Replica:
        return next(iter(self.store.list_replicas()))


class Deaf(WorldSite):
    """Answers what there is to do and takes transactions, but says nothing about pieces."""

    def manifest(self, root: Digest) -> Manifest:
        raise OSError("no answer")


def hurried(size: int) -> tuple[StorageWorld, HurriedHost]:
    """A provider that was assigned a piece of this size."""
    world = StorageWorld("north")
    world.hosts.clear()
    host = HurriedHost(world, "north", capacity=10**8)
    world.add(host)
    world.tick(2)
    world.hosts.clear()
    root = world.artifacts.put(bytes(size))
    world.open_client_deal(root=root, size=size, binding=BINDING, pieces=(PieceRoot(root=root, size=size),))
    world.tick()
    world.work()
    assert world.account("north").locked > 0
    return world, host


def test_challenges_are_answered_although_the_supervisor_then_falls_silent() -> None:
    world = StorageWorld(*NAMES[:3])
    key = world.keep(replace(COPIES, proofs=20))
    lost = world.host_of(key)
    other = world.keep(replace(COPIES, proofs=20), seed=1)
    kept = [entry for entry in lost.store.list_replicas() if entry.deal == other]
    assert kept
    lost.turns.site = Deaf(world, lost.name)
    lost.store.delete(key, world.holders(key).index(lost.name))
    silenced = 0
    step = lost.step

    def deaf_step() -> None:
        nonlocal silenced
        try:
            step()
        except OSError:
            silenced += 1

    lost.step = deaf_step  # type: ignore[method-assign]
    world.until(lambda: world.slashed(lost.name) > 0)
    before = world.offer(lost.name).proofs
    world.until(lambda: silenced > 3)  # it was given the piece again, and hears nothing of what it is made of
    world.until(lambda: world.offer(lost.name).proofs > before)


def test_receiving_stops_after_a_moment_and_goes_on_where_it_was() -> None:
    world, host = hurried(BIG)
    seen = []
    for _ in range(3):
        host.step()
        seen.append(host.replica.received)
        host.start()  # killed, too
    assert seen == [16, 32, 40]
    assert world.origin_reads == 3


def test_sealing_stops_after_a_moment_and_goes_on_where_it_was() -> None:
    _, host = hurried(2 * CHUNK_BYTES)
    host.step()
    assert host.replica.received == 2
    seen = []
    while host.replica.replica is None:
        host.step()
        seen.append((host.replica.passes_done, host.replica.next_chunk))
        host.start()
        assert len(seen) < 6
    assert seen[:2] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("piece", [0, 2])
def test_a_replica_that_is_damaged_is_dropped_when_it_is_to_be_proved(piece: int) -> None:
    world = StorageWorld(*NAMES[:3])
    key = world.keep(replace(COPIES, proofs=20))
    host = world.host_of(key, piece)
    chunk = next(entry for entry, value in host.memory.scan(b"") if len(value) > 10_000)
    host.memory.put(chunk, bytes(20_032))
    world.until(lambda: world.offer(host.name).strikes > 0)
    assert host.store.total_bytes() == 0
    world.until(lambda: world.slashed(host.name) > 0)
    world.until(lambda: world.is_whole(key))
