"""Invariant 5 for a whole supervisor: killed at any instant, it loses nothing it acknowledged and corrupts nothing."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.node.stored_chain import ChainCheck, StoredSite
from consensus.primitives.integers import Digest
from storage.artifacts import ArtifactStore
from storage.lmdb_kv import LmdbStore
from tests.contracts.supervisor_crash_writer import PARAMS
from tests.kit.node import NodeSite

ROOT = Path(__file__).parents[2]
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


class Nursery:
    """The process that forks writers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "tests.contracts.supervisor_crash_writer"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, bufsize=1
        )

    def run_and_kill(self, run: int) -> list[str]:
        """Start a writer, kill it at the chosen instant (every fifth time while it starts), return what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{self.folder} {run}\n")
        writer, said = int(self.process.stdout.readline()), self.folder / f"said-{run}"
        deadline = time.monotonic() + 60
        while run % 5 and not (said.exists() and said.stat().st_size):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chosen_delay_s(run))
        with suppress(ProcessLookupError):
            os.kill(writer, signal.SIGKILL)
        assert int(self.process.stdout.readline()) == signal.SIGKILL, "the writer died of something else"
        text = said.read_text() if said.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def close(self) -> None:
        self.process.communicate()


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
    known, nursery = Acknowledged(), Nursery(tmp_path)
    try:
        for run in range(KILLS):
            for line in nursery.run_and_kill(run):
                known.add(line)
            check_site(tmp_path, known, is_whole=run % 10 == 9)
    finally:
        nursery.close()
    assert min(len(known.transactions), len(known.reports), len(known.blocks)) > KILLS
    assert len(known.jobs) > 2
    assert known.refusals < KILLS
