"""Frozen status records, the one description of the site that API, command line and dashboard share.

Addresses, job ids and digests are lower-case hex here; credits are decimal strings with up to six places.
"""

from typing import Literal, TypeAlias

import msgspec

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every view: rendered as a JSON object."""


class JobView(View, frozen=True):
    """A job as its client sees it. `state` is one of `queued running completed failed cancelled`."""

    job_id: str
    name: str
    state: str
    round: int
    rounds: int
    slots: int = 0
    rounds_settled: int = 0
    loss: float | None = None
    metrics: dict[str, float] = {}
    state_digest: str | None = None
    client: str = ""
    reward: str = "0"
    paid: str = "0"
    reason: str = ""
    """Why the job waits, failed or was cancelled, in words."""
    samples_per_s: float | None = None
    blocks: int = 0
    audits_matched: int = 0
    audits_mismatched: int = 0
    miners: int = 0
    miners_min: int = 1
    """Training starts when so many miners are there."""
    miners_max: int = 64
    """The job takes no more than this."""


class MinerView(View, frozen=True):
    """A miner. `state` is one of `starting idle working draining lost excluded`."""

    miner: str
    name: str
    pid: int
    node: str
    device: str
    state: str
    job: str | None = None
    """The job it works for."""
    reason: str = ""
    slots_verified: int = 0
    slots_run: int = 0
    slots_unsettled: int = 0
    """Slots of committed rounds that are not paid yet."""
    unpaid: str = ""
    """Why they are not."""
    blocks: int = 0
    credits: str = "0"


class MinerTally(View, frozen=True):
    """What the chain, and what waits for it, has of a miner."""

    slots_verified: int
    blocks: int
    balance: str
    slots_unsettled: int = 0
    unpaid: str = ""


class NodeView(View, frozen=True):
    """A machine of the site, as a look from within it found."""

    address: str
    is_head: bool
    takes_miners: bool
    """Whether it joined with `pouw join` and was found equal then."""
    difference: str = ""
    """How it differs from the site now, or why that is not known; empty if all is equal."""
    fix: str = ""
    is_measured: bool = False
    gpus: tuple[str, ...] = ()
    memory_bytes: int = 0
    """Available."""
    disk_bytes: int = 0
    """Free where its home is."""
    skew_ms: int = 0
    """How far its clock is ahead of the head's."""
    uncertain_ms: int = 0

    def measured(self, **values: object) -> "NodeView":
        """With what was found there."""
        return msgspec.structs.replace(self, is_measured=True, **values)

    def failed(self, difference: str, fix: str) -> "NodeView":
        """With what is wrong."""
        return msgspec.structs.replace(self, difference=difference, fix=fix)


class ProcessView(View, frozen=True):
    """One process of the site."""

    role: str
    pid: int
    node: str
    state: str


class ClusterView(View, frozen=True):
    nodes: int
    miners: int
    supervisors: int


class ChainTipView(View, frozen=True):
    height: int
    tip: str
    chain_id: str = ""
    pending_transactions: int = 0
    fixed_beacon: bool = False


class SiteView(View, frozen=True):
    """What `pouw status` shows."""

    cluster: ClusterView
    chain: ChainTipView
    jobs: tuple[JobView, ...] = ()
    processes: tuple[ProcessView, ...] = ()
    address: str = ""
    metrics: tuple[str, ...] = ()
    """Where Prometheus reads each node's metrics (docs/METRICS.md)."""


class ScaleView(View, frozen=True):
    desired: int
    running: int
    draining: int = 0


class AccountView(View, frozen=True):
    address: str
    balance: str
    stake: str
    sequence: int
    """The sequence number that the account's next transaction must carry, those waiting for a block included."""
    excluded: bool = False


class TransactionView(View, frozen=True):
    """An acknowledged transaction: durable, waiting for a block."""

    transaction: str


class BlockView(View, frozen=True):
    height: int
    hash: str
    parent: str
    time_ms: int
    mechanism: str
    producer: str
    transactions: tuple[str, ...]
    """Kinds, such as `round-commit`."""
    target: str
    job: str | None = None
    round: int | None = None
    slot: int | None = None


class LogLine(View, frozen=True):
    time: str
    role: str
    level: str
    message: str
    job: str | None = None
    round: int | None = None
    slot: int | None = None


class LogQuery(View, frozen=True):
    """Which log lines are wanted; what is None does not matter."""

    job: str | None = None
    """Its id, or the beginning of it."""
    role: str | None = None
    """A role such as `miner`, or one process such as `miner-0`."""
    round: int | None = None
    slot: int | None = None

    def fits(self, line: LogLine) -> bool:
        """Whether this line is wanted. One that says nothing of a round or slot is not about a certain one."""
        return (
            (self.job is None or (line.job or "").startswith(self.job))
            and (self.role is None or line.role == self.role or line.role.startswith(f"{self.role}-"))
            and self.round in (None, line.round)
            and self.slot in (None, line.slot)
        )


class StorageView(View, frozen=True):
    """What `pouw storage status` shows."""

    artifacts: int
    """Open deals."""
    providers: int
    """Accounts that offer storage and were heard of lately."""
    proofs_passed: int
    proofs_failed: int
    pieces_active: int = 0
    pieces_wanted: int = 0
    reasons: tuple[str, ...] = ()
    """What keeps deals from having all their pieces."""


ArtifactKind: TypeAlias = Literal["weights", "checkpoint", "optimizer", "spec", "manifest", "dataset"]
"""`optimizer` and `checkpoint` belong together; `manifest` says what the `dataset` segments are."""


class ArtifactView(View, frozen=True):
    """Something that a job has at the site and that can be kept."""

    kind: ArtifactKind
    part: str
    """The round of a checkpoint, the part of the data that a segment is of."""
    root: str
    bytes: int
    binding: str
    """What the root is bound to besides the bytes."""
    deals: tuple[str, ...] = ()
    """Open deals about it."""


class PiecesView(View, frozen=True):
    """What a deal about an artifact would be about."""

    root: str
    bytes: int
    binding: str
    pieces: tuple[tuple[str, int], ...] = ()
    """Root and size of each."""


class PieceView(View, frozen=True):
    """One piece of a deal. `state` is one of `vacant assigned sealed active`."""

    piece: int
    state: str
    provider: str = ""
    node: str = ""
    strikes: int = 0
    leaving: bool = False


class DealView(View, frozen=True):
    """A deal about one artifact. `state` is one of `open expired closed`."""

    deal_id: str
    job_id: str
    name: str
    state: str
    root: str
    bytes: int
    scheme: str
    """`3 copies` or `4+2`."""
    needed: int
    """Pieces that are enough to have the artifact."""
    active: int
    pieces: tuple[PieceView, ...]
    escrow: str
    paid: str
    proofs_left: int
    next_challenge: int | None = None
    """Height of the block whose beacon draws it."""
    reason: str = ""
    """Why it has not all its pieces, or what was last done about it."""


class ProviderView(View, frozen=True):
    """An account that keeps pieces. `state` is one of `keeps silent suspended excluded`."""

    provider: str
    node: str
    state: str
    capacity_bytes: int
    used_bytes: int
    stake: str
    locked: str
    proofs: int
    strikes: int
    paid: str
    slashed: str
    reason: str = ""
    """Why it was or was not paid."""


class DrainView(View, frozen=True):
    """A machine that gives away what it keeps."""

    node: str


class ProbeView(View, frozen=True):
    """What asking a holder for a chunk of its piece came to."""

    deal_id: str
    piece: int
    provider: str
    served: bool
    reason: str = ""


class UpView(View, frozen=True):
    """What `pouw up` prints."""

    address: str
    dashboard: str
    miners: int
    supervisors: int
    home: str = ""
    ray_address: str = ""
    """Where `pouw join` connects other machines to."""
    chain_id: str = ""
    workers: tuple[str, ...] = ()
    """Machines that were made nodes of the site."""
    on_demand: tuple[str, ...] = ()
    """Machines that become nodes when miners have no place, and leave when no miner runs there."""


class ErrorView(View, frozen=True):
    """An error in words: what is wrong and what to do next. `code` is stable."""

    error: str
    code: str
    hint: str = ""
