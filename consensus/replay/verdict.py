"""What a replay can come to. There is no tolerance: equal, different, or not comparable on this machine."""

from enum import StrEnum

from consensus.errors import Reject
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, Uint32, Uint63


class Outcome(StrEnum):
    """`INCONCLUSIVE` means another replay class: hand the slot to a verifier of that class."""

    MATCH = "match"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


class Verdict(Record, frozen=True, tag="pouw/verdict/1"):
    """The outcome of replaying one slot. `code` and `step` name the first difference."""

    job: Digest
    round: Uint63
    slot: Uint32
    outcome: Outcome
    code: Reject | None = None
    step: Uint32 | None = None
    detail: str = ""
