"""Transactions that wait for a block, and the ledger as it will be once they are in one.

A transaction is acknowledged only if it is valid after all those that wait before it. A block made of the first ones is
therefore valid too, without trying. After every block what is left is applied again, on the new ledger.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from consensus.chain.view import ChainView
from consensus.errors import InvalidTransactionError
from consensus.ledger.state import LedgerState
from consensus.ledger.transition import OpenTransaction, apply_open
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest
from consensus.records.transactions import Transaction

Message = TypeVar("Message", bound=Record)

_log = logging.getLogger("pouw.supervisor")


@dataclass(frozen=True, slots=True)
class _Waiting:
    transaction: OpenTransaction
    data: bytes


class Mempool:
    """Open transactions in order of arrival, over one chain view."""

    def __init__(self, view: ChainView) -> None:
        self._view = view
        self._waiting: dict[Digest, _Waiting] = {}
        self.state: LedgerState = view.state
        """The ledger after everything that waits."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._waiting

    def preview(self, transaction: OpenTransaction) -> LedgerState:
        """The ledger with this transaction behind all that wait. Nothing changes. Raises InvalidTransactionError."""
        return apply_open(self.state, transaction, self._view.context)

    def add(self, transaction: OpenTransaction, state: LedgerState) -> None:
        """Take up a transaction that leads to the ledger `state`, as previewed."""
        self.state = state
        self._waiting[transaction.envelope.digest] = _Waiting(transaction, encode(transaction.envelope))

    def rebase(self, view: ChainView, included: Iterable[Digest]) -> list[OpenTransaction]:
        """Move on to the next block. Returns what can never be included any more."""
        self._view, self.state = view, view.state
        for digest in included:
            self._waiting.pop(digest, None)
        dropped: list[OpenTransaction] = []
        for digest, waiting in list(self._waiting.items()):
            try:
                self.state = apply_open(self.state, waiting.transaction, view.context)
            except InvalidTransactionError as error:
                _log.warning("dropped a %s: %s", type(waiting.transaction.message).__name__, error)
                dropped.append(self._waiting.pop(digest).transaction)
        return dropped

    def select(self, limit_bytes: int) -> tuple[bytes, ...]:
        """The longest run of waiting transactions, oldest first, that fits."""
        chosen: list[bytes] = []
        for waiting in self._waiting.values():
            limit_bytes -= len(waiting.data) + 8
            if limit_bytes < 0:
                break
            chosen.append(waiting.data)
        return tuple(chosen)

    def messages(self, kind: type[Message]) -> list[Message]:
        """Waiting transactions of one kind, oldest first."""
        return [m for w in self._waiting.values() if isinstance(m := w.transaction.message, kind)]

    def all_messages(self) -> list[Transaction]:
        """All waiting transactions, oldest first."""
        return [waiting.transaction.message for waiting in self._waiting.values()]
