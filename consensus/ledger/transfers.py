"""Moving credits between accounts, and the rule that an account's transactions come in order."""

from msgspec.structs import replace

from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.state import LedgerState
from consensus.primitives.integers import Credits, PublicKey, Sequence
from consensus.records.transactions import Transfer


def apply_transfer(state: LedgerState, signer: PublicKey, transfer: Transfer) -> LedgerState:
    """Move credits from the signer to the recipient."""
    if transfer.amount == 0:
        raise InvalidTransactionError(Reject.AMOUNT, amount=0)
    return credit(debit(state, signer, transfer.sequence, transfer.amount), transfer.recipient, transfer.amount)


def debit(state: LedgerState, payer: PublicKey, sequence: Sequence, amount: Credits) -> LedgerState:
    """Take `amount` from an account as its transaction number `sequence`.

    Raises:
        InvalidTransactionError: out of order (SEQUENCE) or short of credits (FUNDS).
    """
    account = state.account(payer)
    if sequence != account.sequence:
        raise InvalidTransactionError(Reject.SEQUENCE, expected=account.sequence, actual=sequence)
    if amount > account.balance:
        raise InvalidTransactionError(Reject.FUNDS, balance=account.balance, amount=amount)
    return state.with_account(payer, replace(account, balance=account.balance - amount, sequence=sequence + 1))


def credit(state: LedgerState, payee: PublicKey, amount: int) -> LedgerState:
    """Add `amount` to an account, which is made if there is none."""
    account = state.account(payee)
    return state.with_account(payee, replace(account, balance=account.balance + amount))
