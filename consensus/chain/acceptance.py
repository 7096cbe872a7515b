"""One verdict per block: whether it may follow the tip, and what must be replayed before it counts.

Pure and without side effects: a refused block leaves the view as it was. Not judged here: the certificate, and which of
several valid candidates the committee prefers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.chain.body import apply_body
from consensus.chain.view import ChainView
from consensus.errors import EncodingError, InvalidBlockError, Reject
from consensus.ledger.state import LedgerState
from consensus.mechanisms.base import ReplayRequest, SealContext
from consensus.mechanisms.registry import find_mechanism
from consensus.params import ConsensusParams
from consensus.primitives.encoding import decode
from consensus.primitives.integers import PublicKey, TimeMs
from consensus.primitives.merkle import merkle_root
from consensus.records.block import Block, Header
from consensus.replay.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A block that breaks no rule, but for what a replay may show."""

    block: Block
    state: LedgerState
    """The ledger after the block."""
    replay: ReplayRequest | None
    """What must match before the block counts."""


def check_block(data: bytes, view: ChainView, now_ms: TimeMs) -> Candidate:
    """Judge the bytes of a block that is to follow `view.tip`. Raises InvalidBlockError."""
    block = _decode_block(data, view.params)
    header = block.header
    _check_place(header, view)
    _check_time(header, view, now_ms)
    mechanism = find_mechanism(header.mechanism)
    if header.target != view.next_target:
        raise InvalidBlockError(Reject.TARGET, expected=view.next_target, actual=header.target)
    if header.transactions_root != merkle_root(block.transactions):
        raise InvalidBlockError(Reject.TRANSACTIONS_ROOT, actual=header.transactions_root)
    body = apply_body(view, block.transactions, header.producer, header.mechanism)
    if header.history_root != body.history_root:
        raise InvalidBlockError(Reject.HISTORY_ROOT, expected=body.history_root, actual=header.history_root)
    if header.state_root != body.state_root:
        raise InvalidBlockError(Reject.STATE_ROOT, expected=body.state_root, actual=header.state_root)
    replay = mechanism.check_seal(header, block.seal, _seal_context(view, body.state))
    return Candidate(block=block, state=body.state, replay=replay)


def judge(candidate: Candidate, verdict: Verdict) -> None:
    """Judge a candidate by the replay that it asked for.

    Raises:
        InvalidBlockError: the replay differs (its own code), or was not possible in this class (REPLAY_CLASS).
        ValueError: the verdict is about another slot.
    """
    asked = candidate.replay
    if asked is None or (verdict.job, verdict.round, verdict.slot) != (asked.job, asked.round, asked.slot):
        raise ValueError(f"the verdict on round {verdict.round}, slot {verdict.slot} is not what the block asked for")
    if verdict.outcome is Outcome.INCONCLUSIVE:
        raise InvalidBlockError(Reject.REPLAY_CLASS, detail=verdict.detail)
    if verdict.outcome is Outcome.MISMATCH:
        raise InvalidBlockError(verdict.code or Reject.UPDATE, step=verdict.step, detail=verdict.detail)


def assemble_template(
    view: ChainView, transactions: Sequence[bytes], producer: PublicKey, mechanism: str, time_ms: TimeMs
) -> Header:
    """The header of a block with these transactions, without a seal. Raises InvalidBlockError of a transaction."""
    body = apply_body(view, transactions, producer, mechanism)
    return Header(
        chain_id=view.chain_id,
        height=view.next_height,
        parent=view.tip_hash,
        time_ms=time_ms,
        mechanism=mechanism,
        producer=producer,
        target=view.next_target,
        transactions_root=merkle_root(transactions),
        history_root=body.history_root,
        state_root=body.state_root,
    )


def _decode_block(data: bytes, params: ConsensusParams) -> Block:
    if len(data) > params.max_block_bytes:
        raise InvalidBlockError(Reject.OVERSIZED, bytes=len(data), limit=params.max_block_bytes)
    try:
        return decode(data, Block, limit=params.max_block_bytes)
    except EncodingError as error:
        raise InvalidBlockError(Reject.ENCODING, error=str(error)) from error


def _check_place(header: Header, view: ChainView) -> None:
    if header.chain_id != view.chain_id:
        raise InvalidBlockError(Reject.CHAIN, expected=view.chain_id, actual=header.chain_id)
    if header.height != view.next_height:
        raise InvalidBlockError(Reject.HEIGHT, expected=view.next_height, actual=header.height)
    if header.parent != view.tip_hash:
        raise InvalidBlockError(Reject.PARENT, expected=view.tip_hash, actual=header.parent)


def _check_time(header: Header, view: ChainView, now_ms: TimeMs) -> None:
    if header.time_ms <= view.tip_time_ms:
        raise InvalidBlockError(Reject.TIME_NOT_AFTER_PARENT, parent=view.tip_time_ms, actual=header.time_ms)
    if header.time_ms > now_ms + view.params.max_future_ms:
        raise InvalidBlockError(Reject.TIME_IN_FUTURE, now=now_ms, actual=header.time_ms)


def _seal_context(view: ChainView, post_state: LedgerState) -> SealContext:
    return SealContext(
        chain_id=view.chain_id,
        params=view.params,
        parent_state=view.state,
        post_state=post_state,
        parent_time_ms=view.tip_time_ms,
        work=view.work,
        committee=view.committee,
    )
