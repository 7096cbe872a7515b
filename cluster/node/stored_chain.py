"""A home's chain read from its files: every block judged again from genesis, by the same rules as when it came.

Trusts nothing but the genesis record. What a seal needs to know of other rounds (ports.WorkLog) is taken from the whole
chain and the transactions that wait, because rounds reach the chain later than the blocks that were mined in them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from cluster.config import HomeLayout
from cluster.errors import ConflictError, NotFoundError
from cluster.node.messages import open_message
from cluster.node.round_history import FirstReports, first_reports
from consensus.chain.acceptance import check_block
from consensus.chain.genesis import genesis_beacon, genesis_state
from consensus.chain.view import ChainView, advance_view, open_view
from consensus.crypto.signing import Signed, decode_signed
from consensus.errors import ConsensusError
from consensus.finality.certificate import check_certificate, derive_beacon
from consensus.ledger.state import LedgerState, state_root
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.block import Block
from consensus.records.genesis import Genesis
from consensus.records.work import RoundCommit
from storage.artifacts import ArtifactStore
from storage.chain_store import ChainStore
from storage.errors import StorageError, StorageMissingError
from storage.job_store import JobStore
from storage.lmdb_kv import LmdbStore
from storage.mempool_store import MempoolStore
from storage.report_store import ReportStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSite:
    """A home's stores, opened for reading; the site may run meanwhile."""

    chain: ChainStore
    mempool: MempoolStore
    reports: ReportStore
    jobs: JobStore
    artifacts: ArtifactStore
    genesis: Genesis


@contextmanager
def open_stored_site(home: HomeLayout) -> Iterator[StoredSite]:
    """Open the stores of a home.

    Raises:
        NotFoundError: no site was ever started in this home.
        ConflictError: the files are damaged.
    """
    try:
        store = LmdbStore.open_read_only(home.chain)
    except StorageMissingError as error:
        raise NotFoundError(f"there is no chain in {home.chain}", hint="start a site with: pouw up") from error
    except StorageError as error:
        raise ConflictError(str(error), code=error.code) from error
    try:
        artifacts = ArtifactStore.open_read_only(home.artifacts)
        try:
            chain = ChainStore(store)
            yield StoredSite(
                chain=chain,
                mempool=MempoolStore(store),
                reports=ReportStore(store),
                jobs=JobStore(store),
                artifacts=artifacts,
                genesis=chain.load_genesis(),
            )
        finally:
            artifacts.close()
    except StorageError as error:
        raise ConflictError(str(error), code=error.code) from error
    finally:
        store.close()


@dataclass(slots=True)
class WholeChainWork:
    """Implements consensus.ports.WorkLog over every round commit there is, those discarded by fraud included."""

    _commits: dict[tuple[Digest, int], list[FirstReports]] = field(default_factory=dict)
    _states: set[tuple[Digest, int, Digest]] = field(default_factory=set)

    @classmethod
    def collect(cls, site: StoredSite) -> Self:
        """Read all round commits of a stored site."""
        work = cls()
        for height in range(1, site.chain.tip_height() + 1):
            for data in site.chain.load_block(Height(height)).transactions:
                work._add(decode_signed(data))
        for signed in site.mempool.load_waiting():
            work._add(signed)
        return work

    def commitments(self, job: Digest, round_number: int, miner: PublicKey) -> frozenset[Digest | None]:
        """The report of the miner's first slot in each commit of a round; None where it has no slot."""
        return frozenset(reports.get(miner) for reports in self._commits.get((job, round_number), ()))

    def is_start_state(self, job: Digest, round_number: int, state: Digest) -> bool:
        """Whether a committed round starts from this state or ended in it."""
        return (job, round_number, state) in self._states

    def _add(self, signed: Signed) -> None:
        commit = open_message(signed)
        if isinstance(commit, RoundCommit):
            self._states.add((commit.job, commit.round, commit.state_in))
            self._states.add((commit.job, commit.round + 1, commit.state_out))
            self._commits.setdefault((commit.job, commit.round), []).append(first_reports(commit.slots))


class ChainCheck:
    """Judges the blocks of a stored chain one after the other."""

    def __init__(self, site: StoredSite) -> None:
        self._site = site
        self._beacons = {Height(0): genesis_beacon(site.genesis.chain_id)}
        self.view: ChainView = open_view(
            genesis=site.genesis,
            state=genesis_state(site.genesis),
            work=WholeChainWork.collect(site),
            beacon=self._beacons.get,
        )

    def run(self, on_block: Callable[[int], None]) -> int:
        """Check every block, its certificate, and that the stored ledger is what the blocks come to.

        Returns how many blocks were checked.

        Raises:
            ConsensusError: a block breaks a rule.
            ConflictError: the stored ledger or tip is not the one of the blocks.
        """
        tip, entries = self._site.chain.load_ledger()
        for height in range(1, tip.height + 1):
            self._check(self._site.chain.load_block(Height(height)))
            on_block(height)
        if self.view.tip_hash != tip.hash:
            raise ConflictError(f"the stored tip is not block {tip.height}", code="tip")
        if state_root(LedgerState.from_entries(entries)) != state_root(self.view.state):
            raise ConflictError("the stored ledger is not the one that the blocks come to", code="ledger")
        return tip.height

    def _check(self, block: Block) -> None:
        height = block.header.height
        previous = self._beacons[Height(height - 1)]
        certificate = self._site.chain.load_certificate(height)
        check_certificate(certificate, block, self.view.committee, self.view.chain_id, previous)
        candidate = check_block(encode(block), self.view, block.header.time_ms)
        self._beacons[height] = derive_beacon(certificate, previous)
        self.view = advance_view(self.view, block, candidate.state)


def find_fault(site: StoredSite, on_block: Callable[[int], None]) -> tuple[int, str]:
    """How many blocks are good, and what is wrong with the next one; an empty text if nothing is."""
    check = ChainCheck(site)
    try:
        return check.run(on_block), ""
    except (ConsensusError, ConflictError) as error:
        return check.view.next_height - 1, f"block {check.view.next_height}: {error}"
