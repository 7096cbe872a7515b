"""Random records of every kind, drawn from the types of their fields."""

from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Meta

from consensus.crypto.signing import Signed
from consensus.ledger.entries import Account, Deal, JobAccount, PendingRound, Piece, ProviderAccount, Replica, Totals
from consensus.ledger.transition import TRANSACTION_KINDS
from consensus.mechanisms.pouw.seal import PouwSeal
from consensus.params import ConsensusParams
from consensus.primitives.encoding import Record
from consensus.records.block import BeaconShare, Block, Certificate, Endorsement, Header, Vote
from consensus.records.genesis import Allocation, Genesis
from consensus.records.storage import PieceRoot
from consensus.records.transactions import AuditedSlot
from consensus.records.work import Assignment, Metric, SlotCommit, SlotReport, StepRecord
from consensus.replay.verdict import Verdict

RECORD_KINDS: tuple[type[Record], ...] = (
    *TRANSACTION_KINDS,
    AuditedSlot,
    Assignment,
    StepRecord,
    SlotReport,
    SlotCommit,
    Metric,
    Header,
    Block,
    Vote,
    BeaconShare,
    Endorsement,
    Certificate,
    Allocation,
    Genesis,
    ConsensusParams,
    Signed,
    PouwSeal,
    Verdict,
    Account,
    JobAccount,
    PendingRound,
    ProviderAccount,
    Replica,
    Piece,
    Deal,
    Totals,
    PieceRoot,
)
"""Every record the rules know."""


def records(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of this kind."""
    hints = get_type_hints(kind, include_extras=True)
    names = kind.__struct_fields__
    return st.builds(kind, **{name: _values(hints[name]) for name in names})


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, NewType):
        return _values(hint.__supertype__)
    if get_origin(hint) is Annotated:
        base, bounds = get_args(hint)[0], get_args(hint)[1]
        return _bounded(base, bounds)
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=2).map(tuple)
    if get_origin(hint) in (Union, UnionType):
        return st.one_of([_values(part) for part in get_args(hint)])
    return _plain(hint)


def _plain(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, type) and issubclass(hint, Record):
        return records(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    plain = {
        NoneType: st.none(),
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**63 - 1),
        str: st.text(max_size=5),
        bytes: st.binary(max_size=5),
    }
    return plain[hint]


def _bounded(base: type, bounds: Meta) -> st.SearchStrategy[Any]:
    if base is bytes:
        return st.binary(min_size=bounds.min_length, max_size=bounds.max_length)
    return st.integers(bounds.ge, bounds.le)
