"""The record of training: who was to do which slot, what each step produced, and what a round came to.

Floats end here. Losses are the bits of a float32, metrics are pairs of integers.
"""

from consensus.primitives.digest import sha256
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, PublicKey, Uint32, Uint63


class Assignment(Record, frozen=True, tag="pouw/assignment/1"):
    """The coordinator's word that `miner` is to run one slot from one state. Signed by the coordinator."""

    job: Digest
    round: Uint63
    slot: Uint32
    attempt: Uint32
    """0 at first; counts up each time the slot has to be handed out again."""
    miner: PublicKey
    state: Digest
    """Bulk digest of the state that the round starts from."""

    @property
    def digest(self) -> Digest:
        return sha256("pouw/assignment-digest/1", encode(self))


class StepRecord(Record, frozen=True, tag="pouw/step/1"):
    """One training step, reduced to what a replay must reproduce bit for bit. Its digest feeds the block nonce."""

    job: Digest
    round: Uint63
    slot: Uint32
    step: Uint32
    miner: PublicKey
    indices: Digest
    """SHA-256 of the example numbers of the batch, big-endian 64-bit each."""
    batch: Digest
    """Bulk digest of the batch's bytes: inputs, then targets."""
    batch_bytes: Uint63
    weights_in: Digest
    """Bulk digest of the state the step starts from."""
    weights_out: Digest
    """Bulk digest of the state after an inner step; with one local step, of the update (the gradient) itself."""
    weight_bytes: Uint63
    loss_bits: Uint32
    """The bits of the mean training loss as float32."""

    @property
    def digest(self) -> Digest:
        return sha256("pouw/step-digest/1", encode(self))


class SlotReport(Record, frozen=True, tag="pouw/slot-report/1"):
    """What a miner says it did in one slot. Signed by the miner; names the update before anyone else's is revealed."""

    job: Digest
    round: Uint63
    slot: Uint32
    attempt: Uint32
    miner: PublicKey
    replay_class: Digest
    """Digest of the description of everything that decides the bits (jobs.determinism)."""
    assignment: Digest
    steps: tuple[StepRecord, ...]
    update: Digest
    """Bulk digest of the update handed to the coordinator."""
    examples: Uint63
    template: Digest | None = None
    """Hash of the block template the miner commits to with this report, if any."""


class SlotCommit(Record, frozen=True, tag="pouw/slot-commit/1"):
    """One slot of a committed round."""

    miner: PublicKey
    report: Digest
    """Digest of the signed slot report (Signed.digest)."""


class Metric(Record, frozen=True, tag="pouw/metric/1"):
    """One measured figure as integers: `value / scale`, for example correct / total."""

    name: str
    value: int
    scale: Uint63


class RoundCommit(Record, frozen=True, tag="pouw/round-commit/1"):
    """A finished round as a transaction, signed by the job's coordinator."""

    job: Digest
    round: Uint63
    state_in: Digest
    state_out: Digest
    optimizer_out: Digest | None
    """Digest of the outer optimizer's state; given in rounds that leave a checkpoint (docs/adr/0003-checkpoints.md)."""
    slots: tuple[SlotCommit, ...]
    """In slot order; the order updates were summed in."""
    loss_bits: Uint32
    """Mean training loss of the round as float32 bits."""
    metrics: tuple[Metric, ...] = ()
    """Validation figures of `state_out`, in rounds that evaluate."""
    final: bool = False
    """No round follows: all are done or the stop condition is met."""
