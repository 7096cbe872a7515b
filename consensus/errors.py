"""What can be wrong, each rule with one stable code that tests, peers and users can rely on."""

from enum import StrEnum


class ConsensusError(Exception):
    """Base of every error the rules raise."""


class EncodingError(ConsensusError):
    """Bytes are not the canonical encoding of the record they should be."""


class SignatureError(ConsensusError):
    """A signature does not belong to its message, signer or chain."""


class GenesisError(ConsensusError):
    """A genesis record contradicts itself."""


class Reject(StrEnum):
    """Why a block, a transaction, a slot report or a replayed slot is not accepted. Values never change meaning."""

    # encoding and identity
    ENCODING = "encoding"
    SIGNATURE = "signature"
    CHAIN = "chain"
    OVERSIZED = "oversized"
    # header
    PARENT = "parent"
    HEIGHT = "height"
    TIME_NOT_AFTER_PARENT = "time-not-after-parent"
    TIME_IN_FUTURE = "time-in-future"
    TARGET = "target"
    TRANSACTIONS_ROOT = "transactions-root"
    HISTORY_ROOT = "history-root"
    STATE_ROOT = "state-root"
    MECHANISM = "mechanism"
    PRODUCER = "producer"
    DUPLICATE_TRANSACTION = "duplicate-transaction"
    CERTIFICATE = "certificate"
    # pouw seal
    TRIES = "tries"
    DIFFICULTY = "difficulty"
    NOT_COMMITTED = "not-committed"
    COMMITMENT_CHANGED = "commitment-changed"
    COMMITMENT_TOO_LATE = "commitment-too-late"
    COMMITMENT_SUPERSEDED = "commitment-superseded"
    SLOT_OWNER = "slot-owner"
    STEP_NOT_IN_REPORT = "step-not-in-report"
    ASSIGNMENT = "assignment"
    MINER_EXCLUDED = "miner-excluded"
    # authority seal
    AUTHORITY_NOT_DUE = "authority-not-due"
    EMPTY_BLOCK = "empty-block"
    # slot reports and replay
    REPORT_REPLAYED = "report-replayed"
    REPORT_SHAPE = "report-shape"
    BATCH_INDICES = "batch-indices"
    BATCH_BYTES = "batch-bytes"
    WEIGHTS_IN = "weights-in"
    WEIGHTS_OUT = "weights-out"
    UPDATE = "update"
    LOSS = "loss"
    REPLAY_CLASS = "replay-class"
    STATE_UNKNOWN = "state-unknown"
    # ledger
    SEQUENCE = "sequence"
    FUNDS = "funds"
    AMOUNT = "amount"
    JOB_UNKNOWN = "job-unknown"
    JOB_EXISTS = "job-exists"
    JOB_STATE = "job-state"
    NOT_AUTHORISED = "not-authorised"
    ROUND = "round"
    SLOT_COUNT = "slot-count"
    SETTLEMENT = "settlement"
    EVIDENCE = "evidence"
    # storage
    STAKE = "stake"
    NODE_NAME = "node-name"
    PROVIDER_UNKNOWN = "provider-unknown"
    PROVIDER_EXCLUDED = "provider-excluded"
    PROVIDER_SUSPENDED = "provider-suspended"
    CAPACITY = "capacity"
    SAME_PROVIDER = "same-provider"
    SAME_NODE = "same-node"
    DEAL_UNKNOWN = "deal-unknown"
    DEAL_STATE = "deal-state"
    DEAL_SHAPE = "deal-shape"
    PIECE_UNKNOWN = "piece-unknown"
    PIECE_STATE = "piece-state"
    TERM = "term"
    REPLICA_ROOT = "replica-root"
    CHALLENGE = "challenge"
    CHALLENGE_OPEN = "challenge-open"
    PROOF_LATE = "proof-late"
    PROOF_REPEATED = "proof-repeated"
    STORAGE_PROOF = "storage-proof"
    SERVICE_REPORTED = "service-reported"
    PULSE = "pulse"


class RejectedError(ConsensusError):
    """A rule was broken. `code` is stable; `detail` names the values that broke it."""

    def __init__(self, code: Reject, **detail: object) -> None:
        self.code = code
        self.detail = detail
        super().__init__(code, detail)

    def __str__(self) -> str:
        values = ", ".join(f"{name}={_short(value)}" for name, value in self.detail.items())
        return f"{self.code.value}: {values}" if values else self.code.value

    def __reduce__(self) -> "tuple[object, ...]":
        return (_rebuild, (type(self), self.code, self.detail))


class InvalidBlockError(RejectedError):
    """A block breaks a rule."""


class InvalidTransactionError(RejectedError):
    """A transaction breaks a rule of the ledger."""


class InvalidReportError(RejectedError):
    """A slot report breaks a rule."""


def _short(value: object) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(value)


def _rebuild(kind: type[RejectedError], code: Reject, detail: dict[str, object]) -> RejectedError:
    return kind(code, **detail)
