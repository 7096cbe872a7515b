"""What the ledger keeps: accounts, jobs, rounds that wait to be settled, providers, deals, totals. One record per key.

Keys are `a` + public key, `j` + job id, `r` + job id + round number, `p` + public key, `d` + deal id, and `t`. A
pending round is an entry of its own: committing a round costs the same however many rounds wait for their audit.
"""

from enum import StrEnum
from typing import Final, TypeAlias

from consensus.errors import EncodingError
from consensus.primitives.encoding import Record, decode
from consensus.primitives.integers import Credits, Digest, Height, Ppm, PublicKey, Sequence, Uint32, Uint63
from consensus.records.storage import DealId, StorageTerms
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
    """Fraud was proven: it mines no block, commits no slot, keeps no piece and is paid for none."""
    locked: Credits = Credits(0)
    """The part of the stake that is collateral for pieces."""

    @property
    def free_stake(self) -> int:
        """What of the stake can be taken out or locked."""
        return self.stake - self.locked


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
    storage: StorageTerms | None = None
    """How its weights are to be kept. Until that deal is opened, its pay is in this escrow."""
    deal: DealId | None = None
    """The deal about its weights."""

    @property
    def kept_for_storage(self) -> int:
        """What of the escrow is for keeping the weights."""
        return 0 if self.storage is None or self.deal is not None else self.storage.escrow

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


class ProviderAccount(Record, frozen=True, tag="pouw/provider-account/1"):
    """What an account offers to keep, and how much of that it holds."""

    node: str
    """Its machine."""
    capacity: Uint63
    """Bytes."""
    used: Uint63 = 0
    """Bytes of the replicas that it was assigned and still has."""
    suspended: bool = False
    """It lost collateral or did not deliver. It is assigned nothing until it offers storage again."""
    proofs: Uint63 = 0
    """Challenges that it answered."""
    strikes: Uint63 = 0
    """Challenges that it did not answer, and probes that it did not serve."""
    paid: Credits = Credits(0)
    """What it was paid for proofs."""
    slashed: Credits = Credits(0)
    """Collateral that it lost."""


class ReplicaStatus(StrEnum):
    """The life of a provider's copy of a piece."""

    ASSIGNED = "assigned"
    """The provider fetches and seals it."""
    SEALED = "sealed"
    """Its root is known; a supervisor's spot checks are due."""
    ACTIVE = "active"
    """It is challenged and paid."""


class Replica(Record, frozen=True, tag="pouw/replica/1"):
    """One provider's copy of a piece, from its assignment on."""

    term: Uint63
    """The number of this assignment among those of the piece."""
    provider: PublicKey
    since: Height
    """The block in which it came to its status."""
    status: ReplicaStatus = ReplicaStatus.ASSIGNED
    root: Digest | None = None
    """The replica root, once it is sealed."""
    strikes: Uint32 = 0
    """Failures since the last challenge that went well."""
    proved: bool = False
    """The open challenge is answered."""
    reported: bool = False
    """It was reported since the last settlement."""

    @property
    def is_active(self) -> bool:
        """Whether it is challenged and paid."""
        return self.status is ReplicaStatus.ACTIVE


class Piece(Record, frozen=True, tag="pouw/piece/1"):
    """One piece of a deal. It is vacant while it has no holder."""

    root: Digest
    size: Uint63
    terms: Uint63 = 0
    """How often it was assigned."""
    holder: Replica | None = None
    successor: Replica | None = None
    """What is to replace a leaving holder; never active."""
    leaving: bool = False
    """The holder, which is active, asks to be replaced."""

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The holder and the successor, as far as there are any."""
        return tuple(replica for replica in (self.holder, self.successor) if replica is not None)

    @property
    def is_assignable(self) -> bool:
        """Whether it is vacant, or its holder leaves and nobody is to follow yet."""
        return self.holder is None or (self.leaving and self.successor is None)


class DealStatus(StrEnum):
    """The life of a deal."""

    OPEN = "open"
    EXPIRED = "expired"
    """All its challenges are settled."""
    CLOSED = "closed"
    """Its client ended it."""


class Deal(Record, frozen=True, tag="pouw/deal/1"):
    """An artifact that is to be kept, who keeps which piece, and what is left of the money for it."""

    client: PublicKey
    root: Digest
    size: Uint63
    binding: Digest
    data_pieces: Uint32
    price: Credits
    collateral: Credits
    proofs: Uint63
    """Challenges that were paid for."""
    proofs_left: Uint63
    """Challenges that are not settled."""
    escrow: Credits
    """What has not been paid out yet."""
    pieces: tuple[Piece, ...]
    paid: Credits = Credits(0)
    job: JobId | None = None
    status: DealStatus = DealStatus.OPEN
    challenge_height: Height | None = None
    """The block whose beacon draws the next or open challenge; None while no piece is active."""

    @property
    def is_open(self) -> bool:
        """Whether it is still to be kept."""
        return self.status is DealStatus.OPEN

    def is_challenged(self, piece: Piece) -> bool:
        """Whether the next or open challenge asks for this piece: its holder became active before that block."""
        holder = piece.holder
        return (
            holder is not None
            and holder.is_active
            and self.challenge_height is not None
            and holder.since < self.challenge_height
        )


class Totals(Record, frozen=True, tag="pouw/totals/1"):
    """Sums over the whole ledger. Balances + stakes + escrows (of jobs and deals) + treasury = issued."""

    issued: Credits = Credits(0)
    treasury: Credits = Credits(0)
    """Slashed stakes."""
    open_jobs: Uint63 = 0
    """Running jobs that still take rounds."""
    open_deals: Uint63 = 0


Entry: TypeAlias = Account | JobAccount | PendingRound | ProviderAccount | Deal | Totals


def account_key(account: PublicKey) -> bytes:
    """The ledger key of an account."""
    return b"a" + account


def job_key(job: JobId) -> bytes:
    """The ledger key of a job."""
    return b"j" + job


def round_key(job: JobId, round_number: int) -> bytes:
    """The ledger key of a pending round."""
    return b"r" + job + round_number.to_bytes(8, "big")


def provider_key(provider: PublicKey) -> bytes:
    """The ledger key of a provider's offer."""
    return b"p" + provider


def deal_key(deal: DealId) -> bytes:
    """The ledger key of a deal."""
    return b"d" + deal


_KINDS: Final[dict[bytes, tuple[type[Entry], int]]] = {
    b"a": (Account, 33),
    b"j": (JobAccount, 33),
    b"r": (PendingRound, 41),
    b"p": (ProviderAccount, 33),
    b"d": (Deal, 33),
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
