"""What follows from a slot whose replay differs: its miner is excluded and loses its stake, the job goes back.

The ledger does not replay. It takes the committee's word that the report is false, and checks that the accused miner
signed it and that it is the report the chain knows.
"""

from msgspec.structs import replace

from consensus.crypto.signing import Signed, check_signature, decode_signed
from consensus.errors import EncodingError, InvalidTransactionError, Reject, SignatureError
from consensus.ledger.context import TransitionContext, check_committee, load_running_job
from consensus.ledger.entries import JobAccount, round_key
from consensus.ledger.state import LedgerState
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Credits, PublicKey
from consensus.records.transactions import JobId, ProveFraud
from consensus.records.work import SlotReport


def prove_fraud(state: LedgerState, signer: PublicKey, message: ProveFraud, context: TransitionContext) -> LedgerState:
    """Exclude the miner, and drop the round and all that was built on it."""
    check_committee(signer, context)
    job = load_running_job(state, message.job)
    envelope, report = _open_evidence(message, context)
    if report.job != message.job or report.round < job.settled_round:
        raise InvalidTransactionError(Reject.EVIDENCE, round=report.round, settled=job.settled_round)
    is_pending = report.round < job.next_round
    if is_pending:
        _check_committed(state, envelope, report)
    elif state.account(report.miner).excluded:
        raise InvalidTransactionError(Reject.EVIDENCE, miner=report.miner, excluded=True)
    punished = _excluded(state, report.miner)
    return _rolled_back(punished, message.job, job, report.round) if is_pending else punished


def _open_evidence(message: ProveFraud, context: TransitionContext) -> tuple[Signed, SlotReport]:
    if message.code not in list(Reject):
        raise InvalidTransactionError(Reject.EVIDENCE, claimed=message.code)
    try:
        envelope = decode_signed(message.report)
        report = decode(envelope.body, SlotReport)
    except EncodingError as error:
        raise InvalidTransactionError(Reject.EVIDENCE, report=str(error)) from error
    if envelope.signer != report.miner:
        raise InvalidTransactionError(Reject.EVIDENCE, miner=report.miner, signer=envelope.signer)
    try:
        check_signature(envelope, context.chain_id)
    except SignatureError as error:
        raise InvalidTransactionError(Reject.SIGNATURE, signer=envelope.signer) from error
    return envelope, report


def _check_committed(state: LedgerState, envelope: Signed, report: SlotReport) -> None:
    """The evidence has to be the very report that the pending round names."""
    slots = state.rounds[round_key(report.job, report.round)].slots
    if report.slot >= len(slots) or slots[report.slot].report != envelope.digest:
        raise InvalidTransactionError(Reject.EVIDENCE, round=report.round, slot=report.slot)


def _excluded(state: LedgerState, miner: PublicKey) -> LedgerState:
    account = state.account(miner)
    without = state.with_account(miner, replace(account, excluded=True, stake=Credits(0), locked=Credits(0)))
    return without.with_totals(treasury=account.stake) if account.stake else without


def _rolled_back(state: LedgerState, key: JobId, job: JobAccount, round_number: int) -> LedgerState:
    """The job before it committed `round_number`. The first round may then start from another state."""
    state_in = state.rounds[round_key(key, round_number)].state_in if round_number else None
    for number in range(round_number, job.next_round):
        state = state.with_round(round_key(key, number), None)
    return state.with_job(key, replace(job, next_round=round_number, state=state_in, closing=job.cancelled))
