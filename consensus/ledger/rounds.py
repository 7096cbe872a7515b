"""The rounds of a running job: committed by its coordinator, audited as the beacon asks, then paid."""

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.context import TransitionContext, check_committee, load_running_job
from consensus.ledger.entries import JobAccount, PendingRound, round_key
from consensus.ledger.rewards import slot_pay
from consensus.ledger.state import LedgerState
from consensus.ledger.transfers import credit
from consensus.primitives.integers import PublicKey
from consensus.records.transactions import AuditedSlot, JobId, SettleRounds
from consensus.records.work import RoundCommit
from consensus.replay.sampling import is_sampled


def commit_round(
    state: LedgerState, signer: PublicKey, message: RoundCommit, context: TransitionContext
) -> LedgerState:
    """Take the next round of a job as pending."""
    job = load_running_job(state, message.job)
    _check_commit(state, signer, message, job)
    pending = PendingRound(
        round=message.round,
        height=context.height,
        state_in=message.state_in,
        state_out=message.state_out,
        slots=message.slots,
    )
    advanced = replace(job, next_round=message.round + 1, state=message.state_out, closing=message.final)
    return state.with_round(round_key(message.job, message.round), pending).with_job(message.job, advanced)


def _check_commit(state: LedgerState, signer: PublicKey, message: RoundCommit, job: JobAccount) -> None:
    if job.closing:
        raise InvalidTransactionError(Reject.JOB_STATE, job=message.job, closing=True)
    if signer != job.coordinator:
        raise InvalidTransactionError(Reject.NOT_AUTHORISED, signer=signer)
    if message.round != job.next_round:
        raise InvalidTransactionError(Reject.ROUND, expected=job.next_round, actual=message.round)
    if message.round == job.rounds - 1 and not message.final:
        raise InvalidTransactionError(Reject.ROUND, last=message.round, final=False)
    if job.state is not None and message.state_in != job.state:
        raise InvalidTransactionError(Reject.STATE_UNKNOWN, expected=job.state, actual=message.state_in)
    if len(message.slots) != job.slots:
        raise InvalidTransactionError(Reject.SLOT_COUNT, expected=job.slots, actual=len(message.slots))
    for number, slot in enumerate(message.slots):
        if state.account(slot.miner).excluded:
            raise InvalidTransactionError(Reject.MINER_EXCLUDED, slot=number, miner=slot.miner)


def settle_rounds(
    state: LedgerState, signer: PublicKey, message: SettleRounds, context: TransitionContext
) -> LedgerState:
    """Pay the slots of audited rounds to their miners, unless a miner is excluded by now."""
    check_committee(signer, context)
    job = load_running_job(state, message.job)
    if not job.settled_round < message.upto <= job.next_round:
        raise InvalidTransactionError(Reject.SETTLEMENT, upto=message.upto, committed=job.next_round)
    keys = [round_key(message.job, number) for number in range(job.settled_round, message.upto)]
    rounds = [state.rounds[key] for key in keys]
    expected = draw_audits(message.job, job.audit_ppm, rounds, context)
    if message.audited != expected:
        raise InvalidTransactionError(Reject.SETTLEMENT, expected=len(expected), audited=len(message.audited))
    for key in keys:
        state = state.with_round(key, None)
    state, paid = _pay_slots(state, job, rounds)
    settled = replace(job, settled_round=message.upto, escrow=job.escrow - paid, paid=job.paid + paid)
    return state.with_job(message.job, settled)


def draw_audits(
    job: JobId, audit_ppm: int, rounds: list[PendingRound], context: TransitionContext
) -> tuple[AuditedSlot, ...]:
    """The slots of these rounds that have to be replayed, in order.

    Raises:
        InvalidTransactionError: SETTLEMENT, a round's block has released no beacon yet.
    """
    drawn: list[AuditedSlot] = []
    for pending in rounds:
        beacon = context.beacon(pending.height)
        if beacon is None:
            raise InvalidTransactionError(Reject.SETTLEMENT, round=pending.round, no_beacon_of=pending.height)
        drawn += [
            AuditedSlot(round=pending.round, slot=slot)
            for slot in range(len(pending.slots))
            if is_sampled(beacon, job, pending.round, slot, audit_ppm)
        ]
    return tuple(drawn)


def _pay_slots(state: LedgerState, job: JobAccount, rounds: list[PendingRound]) -> tuple[LedgerState, int]:
    """Pay every slot; returns the state and the sum."""
    pay = slot_pay(job)
    earned: dict[PublicKey, int] = {}
    for slot in (slot for pending in rounds for slot in pending.slots):
        if pay and not state.account(slot.miner).excluded:
            earned[slot.miner] = earned.get(slot.miner, 0) + pay
    for miner, amount in earned.items():
        state = credit(state, miner, amount)
    return state, sum(earned.values())
