"""The parts of one supervisor's chain database, as its node and its files use them."""

from dataclasses import dataclass

from storage.chain_store import ChainStore
from storage.deal_store import DealStore
from storage.job_store import JobStore
from storage.mempool_store import MempoolStore
from storage.report_store import ReportStore


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStores:
    """The parts of one supervisor's chain database."""

    chain: ChainStore
    mempool: MempoolStore
    reports: ReportStore
    jobs: JobStore
    deals: DealStore
