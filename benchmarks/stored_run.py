"""What a finished run left in its home: blocks, rounds and slot reports, read while the site is down."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from cluster.config import HomeLayout
from cluster.node.messages import open_message
from consensus.crypto.signing import decode_signed
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest, Height
from consensus.records.block import Block
from consensus.records.transactions import SettleRounds
from consensus.records.work import RoundCommit, SlotReport
from storage.chain_store import ChainStore
from storage.lmdb_kv import LmdbStore
from storage.report_store import ReportStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """Counts over one chain."""

    mined_blocks: int
    slots: int
    """In committed rounds that are on the chain."""
    audited: int
    extra_attempts: dict[int, int]
    """Rounds in which slots were handed out more than once, with how many times more."""


def read_run(home: HomeLayout) -> StoredRun:
    """Read the chain of a home whose site is down."""
    with closing(LmdbStore.open(home.chain)) as store:
        chain, reports = ChainStore(store), ReportStore(store)
        blocks = [chain.load_block(Height(height)) for height in range(1, chain.tip_height() + 1)]
        commits = [message for message in _messages(blocks) if isinstance(message, RoundCommit)]
        return StoredRun(
            mined_blocks=sum(1 for block in blocks if block.header.mechanism == "pouw"),
            slots=sum(len(commit.slots) for commit in commits),
            audited=sum(len(m.audited) for m in _messages(blocks) if isinstance(m, SettleRounds)),
            extra_attempts={commit.round: extra for commit in commits if (extra := _extra(commit, reports))},
        )


def read_state_digests(home: HomeLayout) -> dict[int, Digest]:
    """The state after each round that is on the chain of a home whose site is down; the last word on each counts."""
    with closing(LmdbStore.open(home.chain)) as store:
        chain = ChainStore(store)
        blocks = [chain.load_block(Height(height)) for height in range(1, chain.tip_height() + 1)]
        return {m.round: m.state_out for m in _messages(blocks) if isinstance(m, RoundCommit)}


def _messages(blocks: list[Block]) -> Iterator[object]:
    for block in blocks:
        for data in block.transactions:
            yield open_message(decode_signed(data))


def _extra(commit: RoundCommit, reports: ReportStore) -> int:
    """Attempts are counted from 0: the number of the one that won is how many were made before it."""
    found = (decode(reports.load_report(slot.report).body, SlotReport) for slot in commit.slots)
    return sum(report.attempt for report in found)
