"""The composition root: where stores, keys and rules are put together into the nodes that actors hold."""

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from cluster.config import HomeLayout
from cluster.errors import ConflictError
from cluster.genesis import site_genesis
from cluster.node.node_stores import NodeStores
from cluster.node.supervisor import SupervisorNode
from cluster.settings import SiteSettings
from cluster.wallet.keystore import client_keystore, site_keystore
from cluster.wallet.names import CLIENT_KEY
from consensus.chain.genesis import genesis_state
from consensus.crypto.keys import Signer
from consensus.ledger.entries import JobAccount, JobStatus, decode_entry
from consensus.primitives.integers import Digest, TimeMs
from consensus.records.genesis import Genesis
from storage.artifacts import ArtifactStore
from storage.chain_store import ChainStore
from storage.deal_store import DealStore
from storage.job_store import JobStore
from storage.kv import KeyValueStore
from storage.lmdb_kv import LmdbStore
from storage.mempool_store import MempoolStore
from storage.report_store import ReportStore

SUPERVISOR_KEY: Final = "supervisor-0"


def wall_clock_ms() -> TimeMs:
    """The clock that block times come from."""
    return TimeMs(int(time.time() * 1000))  # noqa: TID251 - the edge where a clock is read


def node_stores(store: KeyValueStore) -> NodeStores:
    """All stores of a supervisor over one database."""
    return NodeStores(
        chain=ChainStore(store),
        mempool=MempoolStore(store),
        reports=ReportStore(store),
        jobs=JobStore(store),
        deals=DealStore(store),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorParts:
    """A supervisor with what it keeps beside the chain."""

    key: Signer
    node: SupervisorNode
    stores: NodeStores
    artifacts: ArtifactStore


def create_chain(home: HomeLayout, settings: SiteSettings) -> Genesis:
    """The genesis of a home's chain; the first time, a new chain with its supervisor and the operator's account.

    Raises:
        ConflictError: the chain that is there was started with another beacon than the settings ask for, or a job of
            it that has not ended trains in another replay class.
        StorageError: the database is damaged, locked by another process, or the disk is full.
    """
    supervisor = site_keystore(home).load_or_create(SUPERVISOR_KEY)
    client = client_keystore(home).load_or_create(CLIENT_KEY)
    with closing(LmdbStore.open(home.chain)) as store, closing(ArtifactStore.open(home.artifacts)) as artifacts:
        chain = ChainStore(store)
        if not chain.is_created():
            genesis = site_genesis(settings, supervisor.public_key, client.public_key, wall_clock_ms())
            chain.create(genesis, genesis_state(genesis).entries())
        genesis = chain.load_genesis()
        _check_replay_class(chain, artifacts, settings.replay_class)
    wanted = None if settings.beacon is None else Digest(bytes.fromhex(settings.beacon))
    if wanted is not None and genesis.start_beacon != wanted:
        raise ConflictError(
            f"the chain in {home.chain} was not started with this beacon",
            hint="a beacon is fixed when a chain starts: use a fresh POUW_HOME",
            code="beacon",
        )
    return genesis


def _check_replay_class(chain: ChainStore, artifacts: ArtifactStore, replay_class: str) -> None:
    """A job of another class could not go on, and would be ended for that."""
    _, entries = chain.load_ledger()
    accounts = [account for key, value in entries if isinstance(account := decode_entry(key, value), JobAccount)]
    unfinished = [account for account in accounts if account.status in (JobStatus.QUEUED, JobStatus.RUNNING)]
    if not unfinished:
        return
    from jobs.spec.canonical import parse_spec  # loads pydantic, which the host of a site needs for nothing else

    for account in unfinished:
        named = parse_spec(artifacts.load_artifact(account.spec)).train.replay_class
        if named != replay_class:
            raise ConflictError(
                f"job {account.name} has not ended and trains in the replay class {named}, not in {replay_class}",
                hint=f"start the site with: pouw up --replay-class {named}",
                code="replay-class",
            )


def open_supervisor(home: HomeLayout) -> SupervisorParts:
    """Open the supervisor of a home whose chain was created.

    Raises:
        StorageError: the database is damaged, locked by another process, or the disk is full.
    """
    key = site_keystore(home).load(SUPERVISOR_KEY)
    stores = node_stores(LmdbStore.open(home.chain))
    genesis = stores.chain.load_genesis()
    node = SupervisorNode(key=key, genesis=genesis, stores=stores, clock_ms=wall_clock_ms)
    return SupervisorParts(key=key, node=node, stores=stores, artifacts=ArtifactStore.open(home.artifacts))
