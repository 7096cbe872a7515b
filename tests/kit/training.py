"""Small jobs with real data, ready to train: programs, opened parts and a run of some rounds."""

import json
from dataclasses import dataclass
from functools import cache

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from jobs.data.arrays import PartArrays
from jobs.data.manifest import PARTS, DatasetManifest, PartName
from jobs.data.prepare import prepare_dataset
from jobs.program import JobProgram
from jobs.spec.job import JobSpec

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
