"""The real sealer over a real store: stopped and opened again between any two steps, it comes to the same replica."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from consensus.primitives.digest import CHUNK_BYTES, bulk_root, leaf_digests
from consensus.primitives.integers import ZERO_DIGEST
from consensus.storage.seal import Seal, seal_key
from storage.artifact_manifest import Manifest
from storage.proofs.replica_tree import ReplicaTree
from storage.proofs.sealing import is_sealed, seal_replica, unseal_replica
from storage.replica_record import ReplicaState
from storage.replica_sealing import ReplicaSealing
from storage.replica_store import ReplicaStore
from tests.kit.work import word

DEAL, PIECE = word("deal"), 2


def received(replicas: ReplicaStore, data: bytes, passes: int) -> None:
    leaves = tuple(leaf_digests(data))
    root = bulk_root(leaves, len(data))
    manifest = Manifest(root=root, size=len(data), binding=ZERO_DIGEST, leaves=leaves)
    replicas.begin(DEAL, PIECE, manifest, passes)
    replicas.put_chunks(DEAL, PIECE, [data])


@pytest.mark.parametrize(("size", "passes"), [(1000, 5), (CHUNK_BYTES + 1000, 2)])
def test_sealing_goes_on_after_every_stop(tmp_path: Path, size: int, passes: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    seal = Seal(size=size, passes=passes, key=seal_key(DEAL, PIECE, word("provider")))
    replicas = ReplicaStore.open(tmp_path / "replicas")
    received(replicas, data, passes)
    steps = 0
    while not is_sealed(seal, (sealing := ReplicaSealing(replicas, DEAL, PIECE)).load_progress()):
        steps += len(list(islice(seal_replica(seal, sealing.load_piece, sealing), 1)))
        replicas.close()
        replicas = ReplicaStore.open(tmp_path / "replicas")
    tree = ReplicaTree(seal.replica_size, replicas.load_group_roots(DEAL, PIECE))
    assert replicas.finish(DEAL, PIECE, tree.root).state is ReplicaState.SEALED
    assert b"".join(unseal_replica(seal, sealing.load)) == data
    assert tree.prove([0], sealing.load)[0] == (sealing.load(0)[:1024],)
    assert steps == (1 if size < CHUNK_BYTES else 2 * passes)
    replicas.close()
