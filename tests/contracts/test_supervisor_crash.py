"""Invariant 5 for a whole supervisor: killed at any instant, it loses nothing it acknowledged and corrupts nothing."""

import hashlib
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.node.stored_chain import ChainCheck, StoredSite
from consensus.primitives.integers import Digest
from storage.artifacts import ArtifactStore
from storage.lmdb_kv import LmdbStore
from tests.contracts.supervisor_crash_writer import PARAMS
from tests.kit.node import NodeSite
from tests.kit.nursery import Nursery

KILLS = 50
LONGEST_RUN_S = 0.1


@dataclass
class Acknowledged:
    """What the supervisor said is safe."""

    transactions: set[Digest] = field(default_factory=set)
    jobs: set[Digest] = field(default_factory=set)
    reports: set[Digest] = field(default_factory=set)
    blocks: dict[int, Digest] = field(default_factory=dict)
    refusals: int = 0

    def add(self, line: str) -> None:
        kind, *values = line.split()
        if kind == "T":
            self.transactions.add(bytes.fromhex(values[0]))
        elif kind == "J":
            self.jobs.add(bytes.fromhex(values[0]))
        elif kind == "R":
            self.reports.update(bytes.fromhex(value) for value in values)
        elif kind == "B":
            self.blocks[int(values[0])] = bytes.fromhex(values[1])
        else:
            self.refusals += 1


def chosen_delay_s(run: int) -> float:
    """When to kill: spread evenly over the run, the same in every test run."""
    draw = hashlib.sha256(f"kill supervisor {run}".encode()).digest()
    return int.from_bytes(draw[:4], "big") / 2**32 * LONGEST_RUN_S


def check_site(folder: Path, known: Acknowledged, *, is_whole: bool) -> None:
    """`is_whole`: all blocks again from the first one. What is damaged stays so: now and then is enough."""
    store = LmdbStore.open(folder / "chain")
    site = NodeSite(store, PARAMS)
    check_acknowledged(site, known)
    if is_whole:
        check_from_genesis(site, folder)
    assert site.is_conserved()
    store.close()


def check_acknowledged(site: NodeSite, known: Acknowledged) -> None:
    chain, waiting = site.stores.chain, {signed.digest for signed in site.stores.mempool.load_waiting()}
    for digest in known.transactions | known.jobs:
        assert (chain.height_of_transaction(digest) is not None) != (digest in waiting)
        assert digest in waiting or digest not in site.node.pool
    assert waiting == {digest for digest in waiting if digest in site.node.pool}
    assert all(site.stores.reports.load_report(digest).digest == digest for digest in known.reports)
    assert all(chain.height_of(known.blocks[height]) == height for height in known.blocks)
    assert all(site.stores.jobs.arrival(job) is not None for job in known.jobs)
    assert all(site.node.job(job) is not None for job in known.jobs)


def check_from_genesis(site: NodeSite, folder: Path) -> None:
    """Every block by the rules, from the genesis record on; then the stored ledger is what the blocks come to."""
    stores = site.stores
    with closing(ArtifactStore.open(folder / "artifacts")) as artifacts:
        stored = StoredSite(
            chain=stores.chain,
            mempool=stores.mempool,
            reports=stores.reports,
            jobs=stores.jobs,
            artifacts=artifacts,
            genesis=site.genesis,
        )
        check = ChainCheck(stored)
        assert check.run(lambda height: None) == site.node.chain.height
    assert check.view.state == site.state


@pytest.mark.slow
def test_a_supervisor_loses_nothing_acknowledged_in_fifty_kills(tmp_path: Path) -> None:
    known = Acknowledged()
    with Nursery("tests.contracts.supervisor_crash_writer", tmp_path) as nursery:
        for run in range(KILLS):  # every fifth time while it starts
            for line in nursery.run_and_kill(run, chosen_delay_s(run), has_started=run % 5 != 0):
                known.add(line)
            check_site(tmp_path, known, is_whole=run % 10 == 9)
    assert min(len(known.transactions), len(known.reports), len(known.blocks)) > KILLS
    assert len(known.jobs) > 2
    assert known.refusals < KILLS
