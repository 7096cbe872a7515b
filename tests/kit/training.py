"""Small jobs with real data, ready to train: programs, opened parts and a run of some rounds."""

import json
from dataclasses import dataclass
from functools import cache

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.manifest import PARTS, DatasetManifest, PartName
from jobs.data.prepare import prepare_dataset
from jobs.float_bits import bits_value
from jobs.program import JobProgram
from jobs.spec.job import JobSpec
from jobs.training.memory import FloatArray
from jobs.training.round import RoundApplier
from jobs.training.slot import SlotRunner
from jobs.training.state import initial_state

BEACON = sha256("test/beacon/1", b"start")
DIGITS = {"source": "digits", "split": {"train": 0.7, "validation": 0.1, "test": 0.2}}
TEXT = {"source": "python-text", "max_bytes": 60_000}
MLP = {"name": "mlp", "hidden": [32]}
CONVNET = {"name": "convnet", "channels": [4, 6], "hidden": [16], "dropout": 0.2}
RESNET = {"name": "resnet", "blocks": [1, 1], "width": 4}
GPT = {"name": "gpt", "layers": 2, "heads": 2, "width": 16, "context": 16, "dropout": 0.1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A program with its data at hand."""

    program: JobProgram
    parts: dict[PartName, PartArrays]

    @property
    def train(self) -> PartArrays:
        return self.parts["train"]


def make_spec(model: dict[str, object], data: dict[str, object], **train: object) -> JobSpec:
    """A job spec with small defaults."""
    settings: dict[str, object] = {"loss": "cross_entropy", "batch_size": 32, "slots": 2, "rounds": 20} | train
    job = {"name": "study", "model": model, "data": data, "train": settings, "seed": 7}
    return JobSpec.model_validate_json(json.dumps(job))


def make_study(model: dict[str, object] = MLP, data: dict[str, object] = DIGITS, **train: object) -> Study:
    """A program over real data."""
    spec = make_spec(model, data, **train)
    manifest, segments = _prepared(json.dumps(data), json.dumps(model))
    parts = {part: PartArrays.open(manifest, part, segments.__getitem__) for part in PARTS}
    return Study(program=JobProgram(spec=spec, manifest=manifest, beacon=BEACON), parts=parts)


@cache
def _prepared(data: str, model: str) -> tuple[DatasetManifest, dict[Digest, bytes]]:
    source: dict[str, object] = json.loads(data)
    loss = "mse" if source.get("kind") == "regression" else "cross_entropy"
    prepared = prepare_dataset(make_spec(json.loads(model), source, loss=loss))
    return prepared.manifest, prepared.segments.by_digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What some rounds came to."""

    state: FloatArray
    digests: tuple[Digest, ...]
    """Of the state after each round."""
    losses: tuple[float, ...]
    """Mean loss over the slots' last steps, by round."""


def run_rounds(study: Study, rounds: int, *, threads: int = 1) -> Run:
    """Train as a coordinator and its miners do, in one process."""
    runner = SlotRunner(study.program, study.train, threads=threads)
    applier = RoundApplier(study.program, threads=threads)
    state, optimizer = initial_state(study.program), applier.initial_optimizer()
    digests: list[Digest] = []
    losses: list[float] = []
    for number in range(rounds):
        known = digests[-1] if digests else None
        results = [runner.run(state, known, number, slot) for slot in range(study.program.slots)]
        applied = applier.apply(state, optimizer, [result.update for result in results], number)
        state, optimizer = applied.state, applied.optimizer
        digests.append(applied.state_digest)
        losses.append(sum(bits_value(result.steps[-1].loss_bits) for result in results) / len(results))
    return Run(state=state, digests=tuple(digests), losses=tuple(losses))


def read_only(array: FloatArray) -> FloatArray:
    """The same array, not to be written; the way shared memory is handed out."""
    array.flags.writeable = False
    return array
