"""How fast a whole chain is checked without replay, from LMDB and from memory.

Measured: `find_fault`, what `pouw chain verify` runs: the round commits are collected, then every block and its
certificate are read, judged by every rule (signatures, ledger, roots, seal), and the stored ledger is compared. Half of
the blocks are proofs of useful work (three signed records in the seal), half come from the committee; every block
commits a round of two slots. Blocks are made here from fixed keys with real signatures; their training digests stand
for no training, as none is replayed.

Beside it the limit: how many blocks a second the signatures alone would allow, with the library's plain verification of
as many signatures as these blocks hold. A rule engine that cost nothing would reach it.
"""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.child import Results, Value
from benchmarks.repetition import median_time_s
from cluster.node.stored_chain import StoredSite, find_fault
from consensus.chain.genesis import genesis_beacon, genesis_state
from consensus.crypto.keys import is_valid_signature
from consensus.crypto.signing import Signed
from consensus.finality.certificate import derive_beacon
from consensus.primitives.integers import Digest
from storage.artifacts import ArtifactStore
from storage.chain_store import ChainStore
from storage.job_store import JobStore
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.memory_kv import MemoryStore
from storage.mempool_store import MempoolStore
from storage.report_store import ReportStore
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import secret_key
from tests.kit.pouw import draft_pouw
from tests.kit.work import make_assignment, make_commit, make_report

_MINED_SIGNATURES: Final = 3
_CERTIFICATE_SIGNATURES: Final = 2
_TRANSACTIONS: Final = 1
_SLOTS: Final = 2
_LEAD: Final = 3
"""Rounds between the round that a block brings to the chain and the one it is mined in."""


def measure(arguments: Mapping[str, Value]) -> Results:
    """Blocks a second."""
    blocks, repetitions = (100, 1) if arguments["quick"] else (2000, 3)
    chain = _build(blocks)
    with tempfile.TemporaryDirectory(prefix="pouw-bench-chain-") as folder:
        root = Path(folder)
        with closing(LmdbStore.open(root / "chain")) as lmdb, closing(ArtifactStore.open(root / "artifacts")) as files:
            from_lmdb = _blocks_per_s(chain, _store(chain, lmdb, files), repetitions)
            from_memory = _blocks_per_s(chain, _store(chain, MemoryStore(), files), repetitions)
    limit = 1 / (_signatures_per_block(chain) * _signature_s(repetitions))
    return {
        "verify_blocks_s": from_lmdb,
        "verify_blocks_s.memory": from_memory,
        "verify_blocks_s.signature_limit": limit,
        "verify_blocks_s.share_of_limit": from_lmdb / limit,
        "verify_blocks_s.signatures_per_block": _signatures_per_block(chain),
        "verify_blocks_s.blocks": len(chain.blocks),
    }


def _build(blocks: int) -> TestChain:
    """A chain with one running job that commits a round a block; every second block is mined in a later round."""
    chain = start_chain()
    job = chain.open_job(rounds=blocks + _LEAD + 1, slots=_SLOTS)
    commitments: dict[int, Signed] = {}
    for number in range(blocks + _LEAD):
        commit = _commit(chain, job, number, commitments.pop(number, None))
        if number % 2 and number < blocks:
            draft = draft_pouw(chain, job, commit, round_number=number + _LEAD)
            commitments[draft.commitment.round] = draft.sign(draft.committer, draft.commitment)
            chain.append(draft.block())
        else:
            chain.extend(commit)
    return chain


def _commit(chain: TestChain, job: Digest, number: int, commitment: Signed | None) -> Signed:
    """A round whose first report commits to a block, if one needs that."""
    assignments = [make_assignment(job, number, slot) for slot in range(_SLOTS)]
    reports = [chain.sign("miner", make_report(assignment)) for assignment in assignments]
    reports[0] = reports[0] if commitment is None else commitment
    return chain.sign("coordinator", make_commit(job, number, reports))


def _store(chain: TestChain, store: KeyValueStore, artifacts: ArtifactStore) -> StoredSite:
    """The chain as a supervisor leaves it: blocks, certificates, beacons and the ledger at its end."""
    stored, ledger = ChainStore(store), genesis_state(chain.genesis)
    stored.create(chain.genesis, ledger.entries())
    beacon, end = genesis_beacon(chain.genesis.chain_id), chain.view.state
    for block, certificate in zip(chain.blocks, chain.certificates, strict=True):
        beacon = derive_beacon(certificate, beacon)
        is_last = block is chain.blocks[-1]
        stored.append(block, certificate, ledger_changes=end.diff(ledger) if is_last else (), beacon=beacon)
    return StoredSite(
        chain=stored,
        mempool=MempoolStore(store),
        reports=ReportStore(store),
        jobs=JobStore(store),
        artifacts=artifacts,
        genesis=chain.genesis,
    )


def _blocks_per_s(chain: TestChain, site: StoredSite, repetitions: int) -> float:
    def check() -> None:
        checked, fault = find_fault(site, lambda _height: None)
        assert checked == len(chain.blocks), fault
        assert not fault

    return len(chain.blocks) / median_time_s(check, repetitions)


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
