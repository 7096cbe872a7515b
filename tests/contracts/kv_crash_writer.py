"""Writes as fast as it can and says what is safe, until it is killed. Run by test_kv_crash.py.

What it says: `T` transactions kept, `B` block appended, `A` artifact kept, and `R` when the stores are open.
"""

import hashlib
from pathlib import Path

from consensus.primitives.digest import CHUNK_BYTES
from storage.artifacts import ArtifactStore
from storage.chain_store import ChainStore
from storage.lmdb_kv import LmdbStore
from storage.mempool_store import MempoolStore
from tests.kit.nursery import say, serve
from tests.kit.stored_chain import GENESIS, append_block, transfer

LEDGER_KEYS = [b"a%d" % number for number in range(5)]


def write(folder: Path, run: int) -> None:
    store = LmdbStore.open(folder / "chain", initial_size_bytes=64 << 10)
    artifacts = ArtifactStore.open(folder / "artifacts")
    chain, mempool = ChainStore(store), MempoolStore(store)
    chain.create(GENESIS, [(key, b"0") for key in LEDGER_KEYS])
    say("R")
    turn = 0
    while True:
        turn += 1
        sent = [transfer((run * 100_000 + turn) * 10 + number) for number in range(3)]
        say("T " + " ".join(digest.hex() for digest in mempool.add_many(sent)))
        if turn % 3 == 0:
            height = b"%d" % (chain.tip_height() + 1)
            changes = [(key, height) for key in LEDGER_KEYS]
            block = append_block(chain, mempool.load_waiting(limit=8), [*changes, (b"j" + height, bytes(1000))])
            say(f"B {block.header.height} {block.hash.hex()}")
        if turn % 7 == 0:
            part = hashlib.sha256(f"{run} {turn}".encode()).digest() * (CHUNK_BYTES // 64)
            say("A " + artifacts.put([bytes(CHUNK_BYTES), part, part, part]).hex())


if __name__ == "__main__":
    serve(write)
