"""Invariant 5: what was acknowledged is there, whenever the process is killed, and batches are all or nothing."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consensus.crypto.signing import decode_signed
from consensus.primitives.integers import Height
from storage import schema
from storage.artifacts import ArtifactStore
from storage.chain_store import ChainStore
from storage.lmdb_kv import LmdbStore
from storage.mempool_store import MempoolStore
from tests.kit.nursery import Nursery
from tests.kit.stored_chain import certificate_of

KILLS = 50
LONGEST_RUN_S = 0.12


@dataclass
class Acknowledged:
    """What the writer said is safe."""

    transactions: set[bytes] = field(default_factory=set)
    blocks: dict[int, bytes] = field(default_factory=dict)
    artifacts: set[bytes] = field(default_factory=set)

    def add(self, line: str) -> None:
        kind, *values = line.split()
        if kind == "T":
            self.transactions.update(bytes.fromhex(value) for value in values)
        elif kind == "B":
            self.blocks[int(values[0])] = bytes.fromhex(values[1])
        elif kind == "A":
            self.artifacts.add(bytes.fromhex(values[0]))


def chosen_delay_s(run: int) -> float:
    """When to kill: spread evenly over the run, the same in every test run."""
    draw = hashlib.sha256(f"kill {run}".encode()).digest()
    return int.from_bytes(draw[:4], "big") / 2**32 * LONGEST_RUN_S


def check_chain(folder: Path, known: Acknowledged) -> None:
    store = LmdbStore.open(folder / "chain")
    chain, mempool = ChainStore(store), MempoolStore(store)
    if chain.is_created():
        height = chain.tip_height()
        assert max(known.blocks, default=0) <= height
        waiting = {signed.digest for signed in mempool.load_waiting()}
        assert len(waiting) == mempool.count()
        lost = [digest for digest in known.transactions if not is_kept(chain, waiting, digest)]
        assert lost == []
        assert [chain.height_of(known.blocks[number]) for number in known.blocks] == list(known.blocks)
        check_tip(chain, store, height)
    assert not known.transactions or chain.is_created()
    store.close()


def is_kept(chain: ChainStore, waiting: set[bytes], digest: bytes) -> bool:
    """In a block or waiting for one, and never both."""
    return (chain.height_of_transaction(digest) is not None) != (digest in waiting)


def check_tip(chain: ChainStore, store: LmdbStore, height: Height) -> None:
    """The last block's batch has landed completely, and nothing of a next one."""
    ledger = dict(chain.load_ledger()[1])
    assert {value for key, value in ledger.items() if key.startswith(b"a")} == {b"%d" % height}
    assert sum(key.startswith(b"j") for key in ledger) == height
    for prefix in (schema.BLOCK, schema.CERTIFICATE, schema.HEIGHT_OF_BLOCK):
        assert sum(1 for _ in store.scan(prefix)) == height
    if height:
        block = chain.load_block(height)
        assert (block.hash, chain.load_certificate(height)) == (chain.load_tip().hash, certificate_of(block))
        for data in block.transactions:
            assert chain.height_of_transaction(decode_signed(data).digest) == height


def check_artifacts(folder: Path, known: Acknowledged) -> None:
    artifacts = ArtifactStore.open(folder / "artifacts")
    listed = list(artifacts.list_artifacts())
    assert known.artifacts <= {manifest.root for manifest in listed}
    chunks = {chunk for manifest in listed for chunk in artifacts.open_reader(manifest.root)}
    assert artifacts.total_bytes() == sum(map(len, chunks))
    assert artifacts.discard_unfinished() == 0
    artifacts.close()


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_fifty_kills(tmp_path: Path) -> None:
    known = Acknowledged()
    with Nursery("tests.contracts.kv_crash_writer", tmp_path) as nursery:
        for run in range(KILLS):  # every fifth time while it starts
            now = Acknowledged()
            for line in nursery.run_and_kill(run, chosen_delay_s(run), has_started=run % 5 != 0):
                now.add(line)
                known.add(line)
            check_chain(tmp_path, now)
    check_chain(tmp_path, known)
    check_artifacts(tmp_path, known)
    assert len(known.transactions) > KILLS
    assert len(known.blocks) > KILLS
    assert known.artifacts
