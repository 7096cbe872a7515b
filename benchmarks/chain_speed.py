"""How fast a whole chain is checked without replay, from LMDB and from memory.

Measured: for every block of a stored chain: read it and its certificate, judge it by every rule (signatures, ledger,
roots, seal: `check_block`), check the certificate and derive the next beacon. Half of the blocks are proofs of
useful work (three signed records in the seal), half come from the committee; every block commits a round of two
slots. Blocks have real signatures, made here from fixed keys; training digests stand for no training, as none is
replayed.

Beside it the limit: how many blocks a second the signatures alone would allow, with the library's plain verification
of as many signatures as these blocks hold. A rule engine that cost nothing would reach it.
"""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.repetition import median_time_s
from consensus.chain.acceptance import check_block
from consensus.chain.genesis import genesis_beacon, genesis_state
from consensus.chain.view import advance_view, open_view
from consensus.crypto.keys import is_valid_signature
from consensus.finality.certificate import check_certificate, derive_beacon
from consensus.ports import WorkLog
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, Height, TimeMs
from storage.chain_store import ChainStore
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import secret_key
from tests.kit.pouw import draft_pouw
from tests.kit.work import make_assignment, make_commit, make_report

_LATE: Final = TimeMs(2**62)
_MINED_SIGNATURES: Final = 3
_CERTIFICATE_SIGNATURES: Final = 2
_TRANSACTIONS: Final = 1


def measure(arguments: Mapping[str, Value]) -> Results:
    """Blocks a second."""
    blocks, repetitions = (100, 1) if arguments["quick"] else (2000, 3)
    chain = _build(blocks)
    with (
        tempfile.TemporaryDirectory(prefix="pouw-bench-chain-") as folder,
        closing(LmdbStore.open(Path(folder))) as lmdb,
    ):
        from_lmdb = _blocks_per_s(chain, lmdb, repetitions)
    limit = 1 / (_signatures_per_block(chain) * _signature_s(repetitions))
    return {
        "verify_blocks_s": from_lmdb,
        "verify_blocks_s.memory": _blocks_per_s(chain, MemoryStore(), repetitions),
        "verify_blocks_s.signature_limit": limit,
        "verify_blocks_s.share_of_limit": from_lmdb / limit,
        "verify_blocks_s.signatures_per_block": _signatures_per_block(chain),
        "verify_blocks_s.blocks": len(chain.blocks),
    }


def _build(blocks: int) -> TestChain:
    """A chain with one running job that commits a round a block."""
    chain = start_chain()
    job = chain.open_job(rounds=blocks + 1, slots=2)
    for number in range(blocks):
        assignments = [make_assignment(job, number, slot) for slot in range(2)]
        reports = [chain.sign("miner", make_report(assignment)) for assignment in assignments]
        commit = chain.sign("coordinator", make_commit(job, number, reports))
        if number % 2:
            chain.append(draft_pouw(chain, job, commit, round_number=number + 2).block())
        else:
            chain.extend(commit)
    return chain


def _blocks_per_s(chain: TestChain, store: KeyValueStore, repetitions: int) -> float:
    """Store the chain, then check it as it lies there."""
    stored = ChainStore(store)
    stored.create(chain.genesis, genesis_state(chain.genesis).entries())
    for block, certificate in zip(chain.blocks, chain.certificates, strict=True):
        stored.append(block, certificate, ledger_changes=())
    seconds = median_time_s(lambda: _verify(stored, chain.work), repetitions)
    return len(chain.blocks) / seconds


def _verify(stored: ChainStore, work: WorkLog) -> None:
    """Raises InvalidBlockError at the first block that breaks a rule."""
    genesis = stored.load_genesis()
    beacons: dict[Height, Digest] = {Height(0): genesis_beacon(genesis.chain_id)}
    view = open_view(genesis=genesis, state=genesis_state(genesis), work=work, beacon=beacons.get)
    for number in range(1, stored.tip_height() + 1):
        height, previous = Height(number), beacons[Height(number - 1)]
        candidate = check_block(encode(stored.load_block(height)), view, _LATE)
        certificate = stored.load_certificate(height)
        check_certificate(certificate, candidate.block, view.committee, view.chain_id, previous)
        beacons[height] = derive_beacon(certificate, previous)
        view = advance_view(view, candidate.block, candidate.state)


def _signatures_per_block(chain: TestChain) -> float:
    mined = sum(1 for block in chain.blocks if block.header.mechanism == "pouw")
    count = len(chain.blocks)
    sealed = mined * _MINED_SIGNATURES + (count - mined)
    return (sealed + count * (_CERTIFICATE_SIGNATURES + _TRANSACTIONS)) / count


def _signature_s(repetitions: int) -> float:
    """Seconds for one plain verification of a message of usual size."""
    key, message, count = secret_key("miner"), bytes(400), 200
    signature = key.sign(message)

    def check_many() -> None:
        for _ in range(count):
            assert is_valid_signature(key.public_key, message, signature)

    return median_time_s(check_many, repetitions) / count
