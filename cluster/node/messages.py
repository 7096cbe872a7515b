"""Reading the bodies of envelopes that were checked before."""

from typing import cast

from consensus.crypto.signing import Signed
from consensus.ledger.transition import TRANSACTION_KINDS
from consensus.primitives.encoding import decode_any
from consensus.records.transactions import Transaction


def open_message(envelope: Signed) -> Transaction:
    """The body of an envelope that is known to hold a transaction. Raises EncodingError."""
    return cast("Transaction", decode_any(envelope.body, TRANSACTION_KINDS, "Transaction"))
