"""What a site counts for Prometheus: every metric with its kind, labels and meaning. docs/METRICS.md is made of this.

Nodes are handed `Meters` and know nothing of who collects. Under Ray that is Ray's exporter (cluster/actors/meters),
which puts `ray_` in front of each name; elsewhere nobody does. Nothing that is counted feeds back into training.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol


class Kind(StrEnum):
    """How a metric is read."""

    COUNTER = "counter"
    """Only grows, from 0 when its process starts."""
    GAUGE = "gauge"
    """The present value."""
    HISTOGRAM = "histogram"
    """How many values fell below each bound, their number and sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. Ray exports it under `exported`."""

    name: str
    kind: Kind
    says: str
    role: str
    """Who measures it."""
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """Its name on Ray's metrics port; a histogram has it followed by `_bucket`, `_count` and `_sum`."""
        return f"ray_{self.name}"


_SECONDS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

ROUNDS: Final = Metric(
    name="pouw_rounds_total", kind=Kind.COUNTER, role="coordinator", labels=("job",), says="Rounds that were finished."
)
SLOTS: Final = Metric(
    name="pouw_slots_total",
    kind=Kind.COUNTER,
    role="coordinator",
    labels=("job", "outcome"),
    says="Slots that ended at a miner: `done`, `failed`, `diverged`, `refused` (a false report) or `lost`.",
)
SLOT_SECONDS: Final = Metric(
    name="pouw_slot_seconds",
    kind=Kind.HISTOGRAM,
    role="coordinator",
    labels=("job",),
    bounds=_SECONDS,
    says="Seconds of a miner's work for a slot that was done.",
)
STALL_SECONDS: Final = Metric(
    name="pouw_stall_seconds_total",
    kind=Kind.COUNTER,
    role="coordinator",
    labels=("job",),
    says="Seconds in which rounds were to be run and no slot was running.",
)
RETAINED_BYTES: Final = Metric(
    name="pouw_retained_bytes",
    kind=Kind.GAUGE,
    role="coordinator",
    labels=("job",),
    says="Bytes of states that are kept until their rounds are settled.",
)
BLOCKS: Final = Metric(
    name="pouw_blocks_total",
    kind=Kind.COUNTER,
    role="supervisor",
    labels=("kind",),
    says="Blocks that became final, by mechanism.",
)
AUDITS: Final = Metric(
    name="pouw_audits_total",
    kind=Kind.COUNTER,
    role="supervisor",
    labels=("outcome",),
    says="Replays of drawn slots: `match`, `mismatch`, `inconclusive`, `impossible` (no state or no verifier now).",
)
AUDITS_WAITING: Final = Metric(
    name="pouw_audits_waiting", kind=Kind.GAUGE, role="supervisor", says="Slots that wait for their replay."
)
CHAIN_HEIGHT: Final = Metric(
    name="pouw_chain_height", kind=Kind.GAUGE, role="supervisor", says="Height of the last final block."
)
TRANSACTIONS_WAITING: Final = Metric(
    name="pouw_transactions_waiting",
    kind=Kind.GAUGE,
    role="supervisor",
    says="Acknowledged transactions that wait for a block.",
)
MINERS: Final = Metric(name="pouw_miners", kind=Kind.GAUGE, role="gateway", labels=("state",), says="Miners by state.")
JOBS: Final = Metric(name="pouw_jobs", kind=Kind.GAUGE, role="gateway", labels=("state",), says="Jobs by state.")
JOBS_WAITING: Final = Metric(
    name="pouw_jobs_waiting",
    kind=Kind.GAUGE,
    role="gateway",
    labels=("cause",),
    says="Open jobs that do not train now, by cause: `queue`, `miners`, `preparation`, `audits` or `supervisor`.",
)
JOB_MINERS: Final = Metric(
    name="pouw_job_miners", kind=Kind.GAUGE, role="gateway", labels=("job",), says="Miners that work for a job."
)
UNSETTLED_ROUNDS: Final = Metric(
    name="pouw_unsettled_rounds",
    kind=Kind.GAUGE,
    role="gateway",
    labels=("job",),
    says="Committed rounds of a job that are not paid yet.",
)
HEARTBEATS_MISSED: Final = Metric(
    name="pouw_heartbeats_missed_total",
    kind=Kind.COUNTER,
    role="gateway",
    labels=("role",),
    says="Times that a process fell silent.",
)

STORAGE_PIECES: Final = Metric(
    name="pouw_storage_pieces",
    kind=Kind.GAUGE,
    role="supervisor",
    labels=("state",),
    says="Pieces of open deals, by state: `active` or `missing`.",
)
STORAGE_PROOFS: Final = Metric(
    name="pouw_storage_proofs",
    kind=Kind.GAUGE,
    role="supervisor",
    labels=("outcome",),
    says="Challenges and probes on the chain so far, by outcome: `passed` or `missed`.",
)

CATALOGUE: Final = (
    ROUNDS,
    SLOTS,
    SLOT_SECONDS,
    STALL_SECONDS,
    RETAINED_BYTES,
    BLOCKS,
    AUDITS,
    AUDITS_WAITING,
    CHAIN_HEIGHT,
    TRANSACTIONS_WAITING,
    MINERS,
    JOBS,
    JOBS_WAITING,
    JOB_MINERS,
    UNSETTLED_ROUNDS,
    HEARTBEATS_MISSED,
    STORAGE_PIECES,
    STORAGE_PROOFS,
)


class Meters(Protocol):
    """Takes measurements. `labels` are exactly those of the metric."""

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        """A counter grows."""
        ...

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """A gauge has a new value."""
        ...

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """A histogram gets a value."""
        ...


class NoMeters:
    """Nobody collects."""

    def add(self, metric: Metric, amount: float = 1.0, **labels: str) -> None: ...

    def set(self, metric: Metric, value: float, **labels: str) -> None: ...

    def observe(self, metric: Metric, value: float, **labels: str) -> None: ...


def job_label(job_hex: str) -> str:
    """A job in a label: the beginning of its id, as tables show it."""
    return job_hex[:12]
