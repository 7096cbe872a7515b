"""What a supervisor knows, as views: jobs, accounts, blocks and the tip of the chain."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cluster.credits import format_credits
from cluster.node.messages import open_message
from cluster.node.supervisor import SupervisorNode
from cluster.views import AccountView, BlockView, ChainTipView, JobView, MinerTally
from consensus.crypto.signing import decode_signed
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.ledger.rewards import MINED
from consensus.mechanisms.pouw.seal import open_seal
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.block import Block
from consensus.records.work import RoundCommit
from jobs.float_bits import bits_value


def tip_view(node: SupervisorNode) -> ChainTipView:
    """The end of the chain."""
    return ChainTipView(
        height=node.chain.height,
        tip=node.chain.view.tip_hash.hex(),
        chain_id=node.chain.chain_id.hex(),
        pending_transactions=len(node.pool),
        fixed_beacon=node.chain.genesis.start_beacon is not None,
    )


def account_view(node: SupervisorNode, address: PublicKey) -> AccountView:
    """An account as it will be once everything that waits is in a block."""
    account = node.pool.state.account(address)
    return AccountView(
        address=address.hex(),
        balance=format_credits(account.balance),
        stake=format_credits(account.stake),
        sequence=account.sequence,
        excluded=account.excluded,
    )


def job_view(node: SupervisorNode, job: Digest, account: JobAccount) -> JobView:
    """A job as the chain, and what waits for it, has it. A coordinator knows fresher figures."""
    loss_bits = node.tallies.final_loss_bits.get(job)
    return JobView(
        job_id=job.hex(),
        name=account.name,
        state=account.status.value,
        round=account.next_round,
        rounds=account.rounds,
        slots=account.slots,
        rounds_settled=account.settled_round,
        loss=None if loss_bits is None else bits_value(loss_bits),
        metrics=node.tallies.last_metrics.get(job, {}) | _test_figures(account),
        state_digest=None if account.state is None else account.state.hex(),
        client=account.client.hex(),
        reward=format_credits(account.reward),
        paid=format_credits(account.paid),
        reason=account.reason or _closing_reason(node, job, account),
        blocks=node.tallies.blocks_of_job[job],
        audits_matched=node.tallies.audits_matched[job],
        audits_mismatched=node.tallies.frauds[job],
    )


def _test_figures(account: JobAccount) -> dict[str, float]:
    """Of the withheld part, from the ledger: they are there as soon as the job is shown as completed."""
    return {f"test_{metric.name}": metric.value / metric.scale for metric in account.metrics}


def _closing_reason(node: SupervisorNode, job: Digest, account: JobAccount) -> str:
    if account.status is JobStatus.RUNNING and account.closing:
        waiting = account.next_round - account.settled_round
        if not waiting:
            return "trained; is being evaluated"
        return f"trained; {waiting} rounds wait: {node.audits.explain_open(job) or 'for the next blocks'}"
    return ""


def miner_tallies(node: SupervisorNode, miners: Sequence[PublicKey]) -> dict[bytes, MinerTally]:
    """What each miner has done, and what of it is not paid yet, and why."""
    in_blocks = node.tallies.unsettled()
    waiting: dict[Digest, Counter[PublicKey]] = {}
    for commit in node.pool.messages(RoundCommit):
        waiting.setdefault(commit.job, Counter()).update(slot.miner for slot in commit.slots)
    return {miner: _miner_tally(node, miner, in_blocks, waiting) for miner in miners}


def _miner_tally(
    node: SupervisorNode,
    miner: PublicKey,
    in_blocks: Mapping[Digest, Counter[PublicKey]],
    waiting: Mapping[Digest, Counter[PublicKey]],
) -> MinerTally:
    reasons: list[str] = []
    unsettled = 0
    for job in in_blocks.keys() | waiting.keys():
        final, new = in_blocks.get(job, Counter())[miner], waiting.get(job, Counter())[miner]
        unsettled += final + new
        account = node.job(job)
        name = job.hex()[:12] if account is None else account.name
        if final:
            reasons.append(f"{name}: {final} {node.audits.explain_open(job) or 'are settled by the next blocks'}")
        if new:
            reasons.append(f"{name}: {new} are in no block yet")
    if unsettled and miner in node.excluded:
        reasons = ["caught at a false slot: nothing more is paid"]
    return MinerTally(
        slots_verified=node.tallies.slots_verified[miner],
        blocks=node.tallies.blocks_mined[miner],
        balance=format_credits(node.pool.state.account(miner).balance),
        slots_unsettled=unsettled,
        unpaid="; ".join(sorted(reasons)),
    )


def ordered_jobs(node: SupervisorNode) -> list[tuple[Digest, JobAccount]]:
    """All jobs in the order they came."""
    jobs = node.pool.state.jobs.items()
    return sorted(jobs, key=lambda item: (node.arrival(item[0]), item[0]))


def block_view(block: Block) -> BlockView:
    """One final block."""
    header = block.header
    kinds = tuple(_kind(open_message(decode_signed(data))) for data in block.transactions)
    won = open_seal(block.seal).report if header.mechanism in MINED else None
    return BlockView(
        height=header.height,
        hash=block.hash.hex(),
        parent=header.parent.hex(),
        time_ms=header.time_ms,
        mechanism=header.mechanism,
        producer=header.producer.hex(),
        transactions=kinds,
        target=header.target.hex(),
        job=won.job.hex() if won else None,
        round=won.round if won else None,
        slot=won.slot if won else None,
    )


def _kind(message: Record) -> str:
    """`round-commit` of the tag `pouw/round-commit/1`."""
    tag = message.__struct_config__.tag
    return str(tag).split("/")[1]
