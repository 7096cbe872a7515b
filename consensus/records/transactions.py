"""Every change of the ledger that can be asked for. Each is in a `Signed` envelope; the signer pays or decides."""

from typing import TypeAlias

from consensus.primitives.encoding import Record
from consensus.primitives.integers import Credits, Digest, Ppm, PublicKey, Sequence, Uint32, Uint63
from consensus.records.storage import StorageTerms, StorageTransaction
from consensus.records.work import Metric, RoundCommit

JobId: TypeAlias = Digest


class Transfer(Record, frozen=True, tag="pouw/transfer/1"):
    """Move credits from the signer to `recipient`."""

    sequence: Sequence
    recipient: PublicKey
    amount: Credits


class SubmitJob(Record, frozen=True, tag="pouw/submit-job/1"):
    """Pay for a job. Its id is the digest of this signed message; the reward moves into escrow."""

    sequence: Sequence
    name: str
    spec: Digest
    """Bulk digest of the canonical job spec."""
    dataset: Digest
    """Dataset root, test part included."""
    rounds: Uint63
    slots: Uint32
    audit_ppm: Ppm
    """Probability with which each slot is audited."""
    reward: Credits
    storage: StorageTerms | None = None
    """How the weights are to be kept; paid on top of the reward."""


class StartJob(Record, frozen=True, tag="pouw/start-job/1"):
    """A supervisor opens a queued job and names the coordinator that may commit its rounds.

    The beacon of the block that holds this transaction seeds the job. Sent again, it names another coordinator.
    """

    job: JobId
    coordinator: PublicKey


class AuditedSlot(Record, frozen=True, tag="pouw/audited-slot/1"):
    """A slot that was sampled, replayed and matched."""

    round: Uint63
    slot: Uint32


class SettleRounds(Record, frozen=True, tag="pouw/settle-rounds/1"):
    """A supervisor's word that rounds below `upto` were audited as the beacon asks; their slots are paid."""

    job: JobId
    upto: Uint63
    audited: tuple[AuditedSlot, ...]


class ProveFraud(Record, frozen=True, tag="pouw/prove-fraud/1"):
    """A signed slot report whose replay differs. The miner is excluded and unpaid, the job goes back to that round."""

    job: JobId
    report: bytes
    """The signed slot report, as the miner sent it."""
    code: str
    """The `Reject` code of the first difference."""


class CancelJob(Record, frozen=True, tag="pouw/cancel-job/1"):
    """The client stops its job: a queued one is refunded at once, a running one after its rounds are settled."""

    sequence: Sequence
    job: JobId


class CloseJob(Record, frozen=True, tag="pouw/close-job/1"):
    """A supervisor ends a job whose rounds are settled; what is left of the escrow goes back to the client."""

    job: JobId
    outcome: str
    """`completed`, `failed` or `cancelled`."""
    reason: str = ""
    metrics: tuple[Metric, ...] = ()
    """Figures on the withheld test set."""


Transaction: TypeAlias = (
    Transfer
    | SubmitJob
    | StartJob
    | RoundCommit
    | SettleRounds
    | ProveFraud
    | CancelJob
    | CloseJob
    | StorageTransaction
)
