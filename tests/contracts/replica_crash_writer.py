"""Puts, seals, repairs and drops pieces as fast as it can and says what is safe, until it is killed.

Run by test_replica_crash.py. What it says: `O` the store is open, `B` a replica begun, `C` chunks received, `S` a chunk
sealed once more, `F` finished, `D` to be dropped (said before), `G` dropped. `K` names what goes on. Sealing is played:
a pass turns every bit.
"""

from pathlib import Path

import numpy as np

from consensus.primitives.digest import CHUNK_BYTES, bulk_root, leaf_digest, leaf_digests
from consensus.primitives.integers import ZERO_DIGEST, Digest
from storage import replica_store
from storage.artifact_manifest import Manifest
from storage.chunking import cut_chunks
from storage.erasure import ErasureCode
from storage.replica_record import Replica, ReplicaState
from storage.replica_store import ReplicaStore
from tests.kit.nursery import say, serve

PASSES = 3
CODE = ErasureCode.of(2, 4)
LOST = 3
"""Piece 3 of each deal comes out of a repair, the others as they are."""


def deal_of(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def artifact_of(deal: Digest) -> bytes:
    """5 stripes and a bit, different for each deal."""
    generator = np.random.default_rng(int.from_bytes(deal[-4:], "big"))
    return generator.bytes(10 * CHUNK_BYTES + 7 + int(generator.integers(1000)))


def shard_of(deal: Digest, piece: int) -> bytes:
    return b"".join(CODE.encode_shard(artifact_of(deal), piece))


def manifest_of(data: bytes) -> Manifest:
    leaves = tuple(leaf_digests(data))
    return Manifest(root=bulk_root(leaves, len(data)), size=len(data), binding=ZERO_DIGEST, leaves=leaves)


def turned(chunk: bytes, passes: int) -> bytes:
    """What sealing has made of a chunk after so many passes."""
    return chunk.translate(bytes(255 - number for number in range(256))) if passes % 2 else chunk


def receive(replicas: ReplicaStore, replica: Replica) -> None:
    """Go on where the last run was killed."""
    deal, piece = replica.deal, replica.piece
    say("K repair" if piece == LOST else "K put")
    size = len(artifact_of(deal))
    source = [[shard_of(deal, number)] for number in range(2)]
    chunks = CODE.repair(dict(enumerate(source)), LOST, size) if piece == LOST else cut_chunks(shard_of(deal, piece))
    for index, chunk in enumerate(chunks):
        if index >= replica.received:
            done = replicas.put_chunk(deal, piece, index, chunk)
            say(f"C {deal.hex()} {piece} {done.received}")


def seal(replicas: ReplicaStore, replica: Replica) -> None:
    deal, piece, count = replica.deal, replica.piece, replica.chunk_count
    say("K seal")
    while replica.passes_done < PASSES:
        index = replica.next_chunk
        sealed = turned(replicas.load_chunk(deal, piece, index), 1)
        passes, chunks = divmod(replica.passes_done * count + index + 1, count)
        group = leaf_digest(sealed) if replica.passes_done == PASSES - 1 else None
        replica = replicas.store_sealed(
            deal, piece, index, sealed, passes_done=passes, chunks_done=chunks, group_root=group
        )
        say(f"S {deal.hex()} {piece} {passes * count + chunks}")
    replicas.finish(deal, piece, replica.root)
    say(f"F {deal.hex()} {piece}")


def collect(replicas: ReplicaStore, keep: int) -> None:
    """Drop what is not among the newest deals."""
    say("K collect")
    wanted = {(each.deal, each.piece) for each in replicas.list_replicas() if each.deal >= deal_of(keep)}
    for each in replicas.list_replicas():
        if (each.deal, each.piece) not in wanted:
            say(f"D {each.deal.hex()} {each.piece}")
    for deal, piece in replicas.retain(wanted):
        say(f"G {deal.hex()} {piece}")


def work(replicas: ReplicaStore) -> None:
    """Finish what was begun, drop old deals, begin more."""
    number = max((int.from_bytes(each.deal, "big") for each in replicas.list_replicas()), default=0)
    while True:
        for replica in list(replicas.list_replicas()):
            if replica.state is ReplicaState.RECEIVING:
                receive(replicas, replica)
        for replica in list(replicas.list_replicas()):
            if replica.state is ReplicaState.SEALING:
                seal(replicas, replica)
        collect(replicas, number - 1)
        number += 1
        for piece in (0, LOST):
            deal = deal_of(number)
            replicas.begin(deal, piece, manifest_of(shard_of(deal, piece)), PASSES)
            say(f"B {deal.hex()} {piece}")


def write(folder: Path, run: int) -> None:
    """Until it is killed."""
    del run
    replicas = ReplicaStore.open(folder / "replicas")
    say("O")
    work(replicas)


if __name__ == "__main__":
    replica_store._BATCH_DELETES = 2  # so that a replica is dropped in several batches
    serve(write)
