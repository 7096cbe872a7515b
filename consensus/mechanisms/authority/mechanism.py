"""When the committee may append a block on its signature alone: if no proof of work can come, or none came for long.

Without it a chain without open jobs could never take the transaction that opens one.
"""

from typing import Final

from consensus.errors import InvalidBlockError, Reject, SignatureError
from consensus.ledger.state import has_open_work
from consensus.mechanisms.authority.seal import check_header_signature
from consensus.mechanisms.base import ReplayRequest, SealContext
from consensus.primitives.merkle import EMPTY_ROOT
from consensus.records.block import Header


class Authority:
    """Blocks by supervisors' signatures. They earn nothing; the time they took counts for the difficulty."""

    name: Final = "authority"

    def check_seal(self, header: Header, seal: bytes, context: SealContext) -> ReplayRequest | None:
        """Nothing has to be replayed. Raises InvalidBlockError."""
        if header.producer not in context.committee:
            raise InvalidBlockError(Reject.PRODUCER, producer=header.producer)
        if header.transactions_root == EMPTY_ROOT:
            raise InvalidBlockError(Reject.EMPTY_BLOCK)
        if not _is_due(header, context):
            quiet_ms = header.time_ms - context.parent_time_ms
            raise InvalidBlockError(Reject.AUTHORITY_NOT_DUE, quiet_ms=quiet_ms, least_ms=context.params.quiet_after_ms)
        try:
            check_header_signature(header, seal, context.chain_id)
        except SignatureError as error:
            raise InvalidBlockError(Reject.SIGNATURE, producer=header.producer) from error
        return None


def _is_due(header: Header, context: SealContext) -> bool:
    idle = not has_open_work(context.parent_state) or not has_open_work(context.post_state)
    return idle or header.time_ms - context.parent_time_ms > context.params.quiet_after_ms
