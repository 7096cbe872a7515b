"""Kept artifacts without Ray, network or sleep: one supervisor, its desk, and real providers, moved block by block.

Everything is the real thing over stores in memory, but for who carries questions and answers: that is done here, as
`cluster.actors.storage_duties` and `cluster.actors.provider` do it. What a cheat does otherwise, it does in a subclass
of `StorageHost`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cluster.node.job_artifacts import JobArtifacts
from cluster.node.kept_artifacts import KeptArtifacts
from cluster.node.provider import ProviderNode
from cluster.node.provider_turn import ProviderTurns, StorageSite
from cluster.node.storage_answers import StorageAnswers
from cluster.node.storage_desk import SealCheck, StorageDesk, find_fault
from cluster.node.storage_work import PieceSources, ProviderWork
from consensus.crypto.keys import SecretKey
from consensus.errors import EncodingError
from consensus.ledger.entries import Account, Deal, ProviderAccount
from consensus.ledger.state import LedgerState
from consensus.params import ConsensusParams
from consensus.primitives.digest import leaf_digest
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Credits, Digest, PublicKey
from consensus.records.genesis import Allocation
from consensus.records.storage import DealId, OpenDeal, PieceRoot, StorageTerms
from consensus.records.transactions import JobId
from consensus.storage.seal import Opening
from storage.artifact_manifest import Manifest
from storage.artifacts import ArtifactStore
from storage.errors import StorageError
from storage.memory_kv import MemoryStore
from storage.replica_record import PieceName
from storage.replica_store import ReplicaStore
from tests.kit.genesis import FUNDS, PARAMS, public_key, secret_key, supervisor_keys
from tests.kit.node import NodeSite
from tests.kit.replicas import random_bytes
from tests.kit.work import word

NAMES = ("north", "east", "south", "west")
"""Providers, each on a machine of its own name."""
STAKED, PRICE, COLLATERAL, PROOFS = Credits(1_000), Credits(10), Credits(300), 6
SIZE = 20_000
CAPACITY = 1_000_000
BINDING = word("layout")
COPIES = StorageTerms(data_pieces=1, total_pieces=3, price=PRICE, collateral=COLLATERAL, proofs=PROOFS)
SHARDS = StorageTerms(data_pieces=2, total_pieces=3, price=PRICE, collateral=COLLATERAL, proofs=PROOFS)


class StorageHost:
    """One machine's provider."""

    NODE: ClassVar[type[ProviderNode]] = ProviderNode
    TURNS: ClassVar[type[ProviderTurns]] = ProviderTurns

    def __init__(self, world: "StorageWorld", name: str, node: str = "", capacity: int = CAPACITY) -> None:
        self.world, self.name, self.address = world, name, node or name
        self.memory = MemoryStore()
        self.capacity = capacity
        self.is_running = True
        self.start()

    def start(self) -> None:
        """A process over what is stored."""
        self.store = ReplicaStore(self.memory, quota_bytes=self.capacity)
        self.node = self.NODE(
            key=self.key, chain_id=self.world.site.chain_id, params=self.world.site.genesis.params, store=self.store
        )
        self.turns = self.TURNS(
            node=self.node,
            site=WorldSite(self.world, self.name),
            name=self.name,
            address=self.address,
            capacity=self.capacity,
            clock_s=self.world.clock_s,
        )

    @property
    def key(self) -> SecretKey:
        return secret_key(self.name)

    def step(self) -> None:
        self.turns.step()

    def load_plain(self, deal: Digest, piece: int, first: int, count: int) -> list[bytes]:
        return self.node.load_plain(deal, piece, first, count)

    def open_chunks(self, deal: Digest, piece: int, indices: Sequence[int]) -> list[bytes]:
        return [encode(opening) for opening in self.node.open_chunks(deal, piece, indices)]

    def lose_everything(self) -> None:
        self.memory = MemoryStore()
        self.start()


class StorageWorld:
    """A supervisor and its providers. `tick` is one block's time."""

    def __init__(self, *names: str, params: ConsensusParams = PARAMS, stake: Credits = STAKED) -> None:
        own = supervisor_keys(1)[0].public_key
        accounts = (own, public_key("client"), public_key("other"))
        allocations = tuple(Allocation(account=account, amount=Credits(FUNDS)) for account in accounts)
        self.site = NodeSite(params=params, allocations=allocations)
        self.stake = stake
        self.memory = MemoryStore()
        self.artifacts = ArtifactStore(self.memory)
        self.origin_reads = 0
        self.open()
        self.hosts: dict[str, StorageHost] = {}
        for name in names or NAMES:
            self.add(StorageHost(self, name))

    def open(self) -> None:
        """A supervisor that starts from what is stored."""
        stores = self.site.stores
        self.site.node = self.site.open()
        self.of_jobs = JobArtifacts(node=self.site.node, stores=stores, artifacts=self.artifacts)
        self.kept = KeptArtifacts(
            node=self.site.node,
            stores=stores,
            artifacts=self.artifacts,
            clock_s=self.clock_s,
            is_withheld=self.of_jobs.is_withheld,
        )
        self.desk = StorageDesk(
            node=self.site.node,
            deals=stores.deals,
            clock_s=self.clock_s,
            clock_ms=self.site.clock_ms,
            has_artifact=self.artifacts.has,
        )
        self.answers = StorageAnswers(desk=self.desk, kept=self.kept, stake=self.stake)

    def add(self, host: StorageHost) -> StorageHost:
        self.hosts[host.name] = host
        return host

    def clock_s(self) -> float:
        return self.site.now_ms / 1000

    # time

    def tick(self, count: int = 1) -> None:
        """So many block intervals: providers do their work, the supervisor its own, and a block comes if one is due."""
        for _ in range(count):
            self.site.now_ms += self.site.genesis.params.block_interval_ms + 100
            self.work()
            self.site.node.append_quiet_block()

    def until(self, is_so: Callable[[], bool], limit: int = 60) -> None:
        for _ in range(limit):
            if is_so():
                return
            self.tick()
        raise AssertionError(f"not within {limit} blocks")

    def work(self) -> None:
        for host in self.hosts.values():
            if host.is_running:
                host.step()
        if self.kept.has_work:
            self.kept.prepare_pieces()
            self.kept.open_deals()
        self.kept.adopt_deals()
        self.desk.tend()
        self.kept.drop_placed_shards(self.desk.deals.was_placed)
        for check in self.desk.checks_due():
            self.check(check)

    def check(self, check: SealCheck) -> None:
        host = self.hosts[self.answers.name_of(check.provider)]
        if not host.is_running:
            return
        try:
            openings = [decode(data, Opening) for data in host.open_chunks(check.deal, check.piece, check.indices)]
        except EncodingError as error:
            self.desk.refuse(check, str(error))
            return
        except StorageError:
            return
        self.desk.judge(check, find_fault(check, openings))

    def probe(self, key: DealId) -> list[bool]:
        """Ask each holder for its first chunk; who does not give it is reported."""
        served = []
        for number, piece in enumerate(self.deal(key).pieces):
            holder = piece.holder
            if holder is not None and holder.is_active:
                host = self.hosts[self.answers.name_of(holder.provider)]
                leaf = self.site.stores.deals.load_manifest(piece.root).leaves[0]
                served.append(self._serves(host, key, number, leaf))
                if not served[-1]:
                    self.desk.report_service(key, number, holder.term, "nothing")
        return served

    @staticmethod
    def _serves(host: StorageHost, key: DealId, number: int, leaf: Digest) -> bool:
        try:
            chunks = host.load_plain(key, number, 0, 1) if host.is_running else []
        except StorageError:
            return False
        return [leaf_digest(chunk) for chunk in chunks] == [leaf]

    # deals

    def complete_job(self, terms: StorageTerms = COPIES, size: int = SIZE, seed: int = 0) -> JobId:
        """A job whose weights are random bytes here; its deal is still to be opened."""
        root = self.artifacts.put(random_bytes(size, seed), binding=BINDING)
        job = self.site.open_job(rounds=1, slots=1, storage=terms, name=f"job-{seed}")
        self.finish_job(job, root)
        return job

    def finish_job(self, job: JobId, root: Digest) -> None:
        """The only round of a running job comes to this state, is audited, and the job is closed."""
        self.site.commit(job, state_out=root)
        self.site.block()
        self.site.audit()
        self.site.block()
        for each, outcome, reason in self.site.node.closable():
            self.site.node.close_job(each, outcome, reason, ())
        self.site.block()

    def keep(self, terms: StorageTerms = COPIES, size: int = SIZE, seed: int = 0) -> DealId:
        """A completed job whose weights are kept by as many providers as its terms want."""
        job = self.complete_job(terms, size, seed)
        self.until(lambda: self.state.jobs[job].deal is not None)
        key = self.state.jobs[job].deal
        assert key is not None
        self.until(lambda: self.is_whole(key))
        return key

    def open_client_deal(self, size: int = SIZE, seed: int = 0, **changes: object) -> DealId:
        """A deal of the client about something that is here."""
        root = self.artifacts.put(random_bytes(size, seed))
        fields: dict[str, object] = {
            "sequence": self.site.node.pool.state.account(public_key("client")).sequence,
            "root": root,
            "size": size,
            "binding": BINDING,
            "data_pieces": 1,
            "pieces": (PieceRoot(root=root, size=size),) * 3,
            "price": PRICE,
            "collateral": COLLATERAL,
            "proofs": PROOFS,
        }
        return self.site.send("client", OpenDeal(**{**fields, **changes}))

    # figures

    @property
    def state(self) -> LedgerState:
        """The ledger after all that waits for a block."""
        return self.site.node.pool.state

    def deal(self, key: DealId) -> Deal:
        return self.state.deals[key]

    def is_whole(self, key: DealId) -> bool:
        return all(piece.holder is not None and piece.holder.is_active for piece in self.deal(key).pieces)

    def holders(self, key: DealId) -> list[str]:
        """Who has each active piece; nothing for the others."""
        names = {public_key(name): name for name in self.hosts}
        holders = [piece.holder for piece in self.deal(key).pieces]
        return [names[each.provider] if each is not None and each.is_active else "" for each in holders]

    def host_of(self, key: DealId, piece: int = 0) -> StorageHost:
        return self.hosts[self.holders(key)[piece]]

    def account(self, name: str) -> Account:
        return self.state.account(public_key(name))

    def offer(self, name: str) -> ProviderAccount:
        return self.state.providers[public_key(name)]

    def slashed(self, name: str) -> int:
        """What an account has lost of its stake."""
        offer = self.state.providers.get(public_key(name))
        return 0 if offer is None else offer.slashed

    def transactions(self, kind: str) -> int:
        """How many of a kind are in blocks, by its tag."""
        return sum(
            f"pouw/{kind}/1".encode() in data
            for height in range(1, self.site.node.chain.height + 1)
            for data in self.site.stores.chain.load_block(height).transactions
        )


def world_with(
    *cheats: type[StorageHost], honest: Sequence[str] = NAMES[:2], params: ConsensusParams = PARAMS
) -> StorageWorld:
    """A site of honest providers and of cheats, whose names are `cheat-0` and so on."""
    world = StorageWorld(*honest, params=params)
    for number, kind in enumerate(cheats):
        world.add(kind(world, f"cheat-{number}"))
    return world


@dataclass(frozen=True, slots=True)
class WorldSite:
    """Implements provider_turn.StorageSite by calls."""

    world: StorageWorld
    name: str

    def work(self, provider: PublicKey, known: int, sealed: tuple[PieceName, ...]) -> ProviderWork:
        del known
        return self.world.answers.work(provider, self.name, sealed)

    def manifest(self, root: Digest) -> Manifest:
        return self.world.desk.deals.load_manifest(root)

    def sources(self, deal: Digest) -> PieceSources:
        return self.world.answers.sources(deal)

    def submit(self, transaction: bytes) -> None:
        self.world.site.node.submit(transaction)

    def origin(self, root: Digest) -> "_Origin":
        return _Origin(self.world, root)

    def holder(self, name: str, deal: Digest, piece: int) -> "_Holder":
        return _Holder(self.world, name, deal, piece)


@dataclass(frozen=True, slots=True)
class _Origin:
    world: StorageWorld
    root: Digest
    name: str = "supervisor"

    def load(self, first: int, count: int) -> Sequence[bytes]:
        self.world.origin_reads += 1
        return self.world.kept.load_chunks(self.root, first, count)


@dataclass(frozen=True, slots=True)
class _Holder:
    world: StorageWorld
    name: str
    deal: Digest
    piece: int

    def load(self, first: int, count: int) -> Sequence[bytes]:
        host = self.world.hosts[self.name]
        if not host.is_running:
            raise OSError("it is not there")
        try:
            return host.load_plain(self.deal, self.piece, first, count)
        except StorageError as error:
            raise OSError(str(error)) from error


def _conforms(site: WorldSite) -> StorageSite:
    return site
