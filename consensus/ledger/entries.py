"""What the ledger keeps: accounts, jobs, rounds that wait to be settled, and totals. One record per key.

Keys are `a` + public key, `j` + job id, `r` + job id + round number, and `t`. A pending round is an entry of its own,
so that committing a round costs the same however many rounds wait for their audit.
"""

from enum import StrEnum
from typing import Final, TypeAlias

from consensus.errors import EncodingError
from consensus.primitives.encoding import Record, decode
from consensus.primitives.integers import Credits, Digest, Height, Ppm, PublicKey, Sequence, Uint32, Uint63
from consensus.records.transactions import JobId
from consensus.records.work import Metric, SlotCommit

TOTALS_KEY: Final = b"t"


class Account(Record, frozen=True, tag="pouw/account/1"):
    """What one public key owns and has said."""

    balance: Credits = Credits(0)
    stake: Credits = Credits(0)
    sequence: Sequence = Sequence(0)
    """The sequence number that its next transaction must carry."""
    excluded: bool = False
    """Fraud was proven: it mines no block, commits no slot and is paid for none."""


class JobStatus(StrEnum):
    """The life of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobAccount(Record, frozen=True, tag="pouw/job-account/1"):
    """Where a job stands and what is left of the money it was submitted with."""

    client: PublicKey
    name: str
    spec: Digest
    dataset: Digest
    rounds: Uint63
    slots: Uint32
    audit_ppm: Ppm
    reward: Credits
    """What the client paid in. A verified slot earns `reward // (rounds * slots)`."""
    escrow: Credits
    """What has not been paid out yet."""
    paid: Credits = Credits(0)
    """What miners were paid for its slots."""
    status: JobStatus = JobStatus.QUEUED
    coordinator: PublicKey | None = None
    retired: tuple[PublicKey, ...] = ()
    """Coordinators that were replaced. They are not named again, so an old StartJob cannot be replayed."""
    start_height: Height | None = None
    """The block whose beacon seeds the job."""
    next_round: Uint63 = 0
    settled_round: Uint63 = 0
    """Rounds below this are audited and paid. Those up to `next_round` are pending."""
    state: Digest | None = None
    """The state that `next_round` starts from; None until a round is committed."""
    closing: bool = False
    """No more rounds are taken."""
    cancelled: bool = False
    """The client asked for the end while the job ran."""
    reason: str = ""
    metrics: tuple[Metric, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether rounds can still be committed, so that miners can find blocks."""
        return self.status is JobStatus.RUNNING and not self.closing


class PendingRound(Record, frozen=True, tag="pouw/pending-round/1"):
    """A committed round that is not settled."""

    round: Uint63
    height: Height
    """The block that holds the commit. Its beacon draws which slots are audited."""
    state_in: Digest
    state_out: Digest
    slots: tuple[SlotCommit, ...]


class Totals(Record, frozen=True, tag="pouw/totals/1"):
    """Sums over the whole ledger. Balances + stakes + escrows + treasury = issued."""

    issued: Credits = Credits(0)
    treasury: Credits = Credits(0)
    """Slashed stakes."""
    open_jobs: Uint63 = 0
    """Running jobs that still take rounds."""


Entry: TypeAlias = Account | JobAccount | PendingRound | Totals


def account_key(account: PublicKey) -> bytes:
    """The ledger key of an account."""
    return b"a" + account


def job_key(job: JobId) -> bytes:
    """The ledger key of a job."""
    return b"j" + job


def round_key(job: JobId, round_number: int) -> bytes:
    """The ledger key of a pending round."""
    return b"r" + job + round_number.to_bytes(8, "big")


_KINDS: Final[dict[bytes, tuple[type[Entry], int]]] = {
    b"a": (Account, 33),
    b"j": (JobAccount, 33),
    b"r": (PendingRound, 41),
    b"t": (Totals, 1),
}


def decode_entry(key: bytes, value: bytes) -> Entry:
    """The record stored under a key.

    Raises:
        EncodingError: no such kind of key, or the value is not of its kind.
    """
    kind, key_bytes = _KINDS.get(key[:1], (None, 0))
    if kind is None or len(key) != key_bytes:
        raise EncodingError(f"{key.hex()} is not a ledger key")
    return decode(value, kind)
