"""Joins a job's opening to jobs.training: the program, its data, and the trainer that advances rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.node.buffers import bytes_of
from cluster.node.ports import AppliedRound, Checkpoint, FlatState, JobOpening, JobPlan
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.manifest import DatasetManifest, PartName
from jobs.layout import Layout, state_digest
from jobs.program import JobProgram
from jobs.spec.canonical import parse_spec
from jobs.spec.job import JobSpec

Segments = Mapping[Digest, NDArray[np.uint8]]
"""The bytes of one part's segments by digest; arrays, so that the object store can share them without copies."""


def job_program(opening: JobOpening) -> JobProgram:
    """The deterministic program behind a job.

    Raises:
        JobFileError, EncodingError: the spec or the manifest is malformed.
    """
    manifest = decode(opening.manifest, DatasetManifest)
    return JobProgram(spec=parse_spec(opening.spec), manifest=manifest, beacon=opening.beacon)


def open_part(program: JobProgram, part: PartName, segments: Segments) -> PartArrays:
    """One part of the dataset, every segment checked against the manifest. Raises SegmentError."""
    return PartArrays.open(program.manifest, part, lambda digest: bytes_of(segments[digest]))


def job_plan(spec: JobSpec) -> JobPlan:
    """What decides the course of a job's rounds."""
    train = spec.train
    return JobPlan(
        rounds=train.rounds,
        slots=train.slots,
        local_steps=train.local_steps,
        examples_per_round=train.batch_size * train.local_steps,
        eval_every=train.eval_every,
        checkpoint_every=train.checkpoint_every,
        stop_metric=train.stop_when.metric if train.stop_when else None,
        stop_at=train.stop_when.reaches if train.stop_when else 0.0,
        has_validation=spec.data.split.validation > 0,
    )


@dataclass(slots=True)
class _Buffers:
    """Memory that rounds move in place. Who needs a state for longer was handed a copy."""

    state: FlatState
    optimizer: FlatState


class ProgramTrainer:
    """A cluster.node.ports.RoundTrainer over jobs.training. Reuses its memory from round to round."""

    def __init__(self, program: JobProgram, *, threads: int) -> None:
        from jobs.training.round import RoundApplier

        self.plan = job_plan(program.spec)
        self._program = program
        self._applier = RoundApplier(program, threads=threads)
        self._buffers: _Buffers | None = None

    @property
    def layout(self) -> Layout:
        """Where each tensor lies in the flat state."""
        return self._applier.layout

    def initial(self) -> Checkpoint:
        """The state before round 0."""
        from jobs.training.state import initial_state

        return Checkpoint(round=0, state=initial_state(self._program), optimizer=self._applier.initial_optimizer())

    def load(self, checkpoint: Checkpoint) -> Digest:
        """Take up a state; returns its digest."""
        from jobs.training.memory import aligned_empty

        state, optimizer = aligned_empty(checkpoint.state.size), aligned_empty(checkpoint.optimizer.size)
        state[:], optimizer[:] = checkpoint.state, checkpoint.optimizer
        self._buffers = _Buffers(state, optimizer)
        return state_digest(bytes_of(state), self.layout)

    def apply(self, round_number: int, updates: Sequence[FlatState], *, with_optimizer: bool) -> AppliedRound:
        """Sum a round's updates in slot order and step the outer optimizer."""
        buffers = self._loaded()
        applied = self._applier.apply(
            buffers.state,
            buffers.optimizer,
            updates,
            round_number,
            state_out=buffers.state,
            optimizer_out=buffers.optimizer,
            digest_optimizer=with_optimizer,
        )
        return AppliedRound(
            state=buffers.state,
            state_digest=applied.state_digest,
            optimizer_digest=applied.optimizer_digest,
        )

    def digest(self, update: FlatState) -> Digest:
        """The digest of an update."""
        return self._applier.digest(update)

    def checkpoint(self, round_number: int) -> Checkpoint:
        """The present state; the arrays are the trainer's own."""
        buffers = self._loaded()
        return Checkpoint(round=round_number, state=buffers.state, optimizer=buffers.optimizer)

    def _loaded(self) -> _Buffers:
        if self._buffers is None:
            raise RuntimeError("no state was loaded")
        return self._buffers
