"""`kill -9` while putting, sealing, repairing or dropping: nothing acknowledged is lost, no orphan is left."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from consensus.primitives.digest import leaf_digest
from consensus.primitives.integers import Digest
from storage import schema
from storage.chunking import cut_chunks
from storage.lmdb_kv import LmdbStore
from storage.replica_record import Replica, ReplicaState
from storage.replica_store import ReplicaStore
from tests.contracts.replica_crash_writer import shard_of, turned
from tests.kit.nursery import Nursery

KILLS = 50
LONGEST_RUN_S = 0.35
Name = tuple[bytes, int]


@dataclass
class Acknowledged:
    """What the writer said is safe."""

    received: dict[Name, int] = field(default_factory=dict)
    sealed: dict[Name, int] = field(default_factory=dict)
    finished: set[Name] = field(default_factory=set)
    dropping: set[Name] = field(default_factory=set)
    dropped: set[Name] = field(default_factory=set)
    doing: str = "open"

    def add(self, line: str) -> None:
        kind, *values = line.split()
        if kind == "K":
            self.doing = values[0]
        if kind in {"K", "O"}:
            return
        name = bytes.fromhex(values[0]), int(values[1])
        match kind:
            case "B":
                self.received.setdefault(name, 0)
            case "C":
                self.received[name] = int(values[2])
            case "S":
                self.sealed[name] = int(values[2])
            case "F":
                self.finished.add(name)
            case "D":
                self.dropping.add(name)
            case "G":
                self.dropped.add(name)


def check_replica(replicas: ReplicaStore, replica: Replica, known: Acknowledged) -> None:
    """Every chunk is what the progress says it is, and the progress is at least what was acknowledged."""
    name = (replica.deal, replica.piece)
    position = replica.passes_done * replica.chunk_count + replica.next_chunk
    assert replica.received >= known.received.get(name, 0)
    assert position >= known.sealed.get(name, 0)
    assert replica.state is ReplicaState.SEALED or name not in known.finished
    plain = list(cut_chunks(shard_of(Digest(replica.deal), replica.piece)))
    for index in range(replica.received):
        passes = replica.passes_done + (index < replica.next_chunk)
        padded = plain[index].ljust(replica.chunk_bytes(index), b"\0")
        assert replicas.load_chunk(replica.deal, replica.piece, index) == turned(padded, passes)
    in_last = max(0, position - (replica.passes - 1) * replica.chunk_count)
    roots = replicas.load_group_roots(replica.deal, replica.piece)
    assert len(roots) == in_last
    assert list(roots) == [
        leaf_digest(replicas.load_chunk(replica.deal, replica.piece, index)) for index in range(in_last)
    ]


def check_no_orphans(folder: Path) -> None:
    """Every key belongs to a replica that is listed."""
    store = LmdbStore.open(folder)
    listed = {(each.deal, each.piece): each for each in ReplicaStore(store).list_replicas()}
    counts = Counter(key[:2] for key, _ in store.scan())
    received = sum(each.received for each in listed.values())
    assert counts[schema.REPLICA_CHUNK] == received
    assert counts[schema.REPLICA_MANIFEST] == counts[schema.REPLICA] == len(listed)
    assert set(counts) <= {schema.REPLICA, schema.REPLICA_MANIFEST, schema.REPLICA_CHUNK, schema.GROUP_ROOT}
    names = {key[2:42] for key, _ in store.scan()}
    assert names == {deal + schema.number_bytes(piece) for deal, piece in listed}
    store.close()


def check(folder: Path, known: Acknowledged) -> None:
    replicas = ReplicaStore.open(folder)
    listed = {(each.deal, each.piece): each for each in replicas.list_replicas()}
    for name, replica in listed.items():
        assert name not in known.dropped
        check_replica(replicas, replica, known)
    assert set(known.received) - known.dropping <= set(listed)
    assert replicas.total_bytes() == sum(each.stored_bytes for each in listed.values())
    replicas.close()
    check_no_orphans(folder)


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_fifty_kills(tmp_path: Path) -> None:
    generator = np.random.default_rng(20261122)
    known, killed_in = Acknowledged(), Counter[str]()
    with Nursery("tests.contracts.replica_crash_writer", tmp_path) as nursery:
        for run in range(KILLS):  # every tenth time while it opens the store
            delay_s = float(generator.uniform(0, LONGEST_RUN_S))
            for line in nursery.run_and_kill(run, delay_s, has_started=run % 10 != 0):
                known.add(line)
            killed_in[known.doing] += 1
            check(tmp_path / "replicas", known)
    assert len(known.finished) > 5
    assert len(known.dropped) > 3
    assert {"put", "seal", "repair"} <= set(killed_in)
