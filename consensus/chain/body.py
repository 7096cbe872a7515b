"""The transactions of a block: opened once, applied in order, and what the header says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.chain.view import ChainView
from consensus.errors import EncodingError, InvalidBlockError, InvalidTransactionError, Reject
from consensus.ledger.state import LedgerState, state_root
from consensus.ledger.transition import OpenTransaction, apply_block_body
from consensus.primitives.integers import Digest, PublicKey
from consensus.primitives.merkle import merkle_root
from consensus.records.work import RoundCommit


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedBody:
    """What the transactions of a block come to."""

    history_root: Digest
    state_root: Digest
    state: LedgerState


def apply_body(view: ChainView, transactions: Sequence[bytes], producer: PublicKey, mechanism: str) -> AppliedBody:
    """Open and apply the transactions of the block after `view`.

    Raises:
        InvalidBlockError: the code is the one of the transaction; `transaction` in `detail` is its number.
    """
    context = view.context
    opened = _open_all(transactions, view)
    try:
        state = apply_block_body(view.state, opened, producer, mechanism, context)
    except InvalidTransactionError as error:
        raise InvalidBlockError(error.code, **error.detail) from error
    return AppliedBody(history_root=_history_root(opened), state_root=state_root(state), state=state)


def _open_all(transactions: Sequence[bytes], view: ChainView) -> list[OpenTransaction]:
    context = view.context
    opened: list[OpenTransaction] = []
    seen: set[Digest] = set()
    for number, data in enumerate(transactions):
        try:
            transaction = view.opener(data, context)
        except EncodingError as error:
            raise InvalidBlockError(Reject.ENCODING, transaction=number, error=str(error)) from error
        except InvalidTransactionError as error:
            raise InvalidBlockError(error.code, transaction=number, **error.detail) from error
        digest = transaction.envelope.digest
        if digest in seen:
            raise InvalidBlockError(Reject.DUPLICATE_TRANSACTION, transaction=number, digest=digest)
        seen.add(digest)
        opened.append(transaction)
    return opened


def _history_root(transactions: Sequence[OpenTransaction]) -> Digest:
    """The root over the slot reports that round commits name, in order."""
    commits = [transaction.message for transaction in transactions if isinstance(transaction.message, RoundCommit)]
    return merkle_root([slot.report for commit in commits for slot in commit.slots])
