"""A job as a deterministic program: the same spec, dataset and start beacon give the same bits everywhere.

The seed binds all three, so nobody can prepare work before the beacon of the block that starts the job is known.
"""

from dataclasses import dataclass
from functools import cached_property

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from jobs.data.manifest import DatasetManifest
from jobs.spec.canonical import program_bytes
from jobs.spec.job import JobSpec


@dataclass(frozen=True, kw_only=True)
class JobProgram:
    """A job that is ready to run."""

    spec: JobSpec
    manifest: DatasetManifest
    beacon: Digest

    @cached_property
    def dataset_root(self) -> Digest:
        return self.manifest.root

    @cached_property
    def digest(self) -> Digest:
        """Names the program: equal digests, equal results (within a replay class)."""
        return sha256("pouw/program/1", program_bytes(self.spec), self.dataset_root, self.beacon)

    @cached_property
    def seed(self) -> Digest:
        """All randomness of the job comes from here."""
        own = self.spec.seed.to_bytes(8, "big")
        return sha256("pouw/program-seed/1", program_bytes(self.spec), self.dataset_root, self.beacon, own)

    @cached_property
    def initial_seed(self) -> int:
        """Seeds the first weights; 63 bits."""
        return _as_63_bits(sha256("pouw/initial-seed/1", self.seed))

    def slot_seed(self, round_number: int, slot: int, step: int) -> int:
        """Seeds what is random in one step, such as dropout; 63 bits."""
        place = (round_number.to_bytes(8, "big"), slot.to_bytes(4, "big"), step.to_bytes(4, "big"))
        return _as_63_bits(sha256("pouw/step-seed/1", self.seed, *place))

    @property
    def rounds(self) -> int:
        return self.spec.train.rounds

    @property
    def slots(self) -> int:
        return self.spec.train.slots

    @property
    def local_steps(self) -> int:
        return self.spec.train.local_steps

    @property
    def slot_batch(self) -> int:
        """Examples of one step of one slot."""
        return self.spec.train.slot_batch


def _as_63_bits(digest: Digest) -> int:
    return int.from_bytes(digest[:8], "big") >> 1
