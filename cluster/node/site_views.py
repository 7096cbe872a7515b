"""What a supervisor knows, as views: jobs, accounts, blocks and the tip of the chain."""

from cluster.credits import format_credits
from cluster.node.supervisor import SupervisorNode, open_message
from cluster.views import AccountView, BlockView, ChainTipView, JobView
from consensus.crypto.signing import decode_signed
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.ledger.rewards import MINED
from consensus.mechanisms.pouw.seal import open_seal
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.block import Block
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
        reason=account.reason or _closing_reason(account),
        blocks=node.tallies.blocks_of_job[job],
        audits_matched=node.tallies.audits_matched[job],
        audits_mismatched=node.tallies.frauds[job],
    )


def _test_figures(account: JobAccount) -> dict[str, float]:
    """Of the withheld part, from the ledger: they are there as soon as the job is shown as completed."""
    return {f"test_{metric.name}": metric.value / metric.scale for metric in account.metrics}


def _closing_reason(account: JobAccount) -> str:
    if account.status is JobStatus.RUNNING and account.closing:
        waiting = account.next_round - account.settled_round
        return f"trained; {waiting} rounds wait for audits" if waiting else "trained; is being evaluated"
    return ""


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
