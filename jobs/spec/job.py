"""The whole job: its sections, and the checks that need several of them."""

from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from jobs.spec.base import Section, Share, contradiction
from jobs.spec.data import DataSpec, FileData, PythonTextData
from jobs.spec.model import GptSpec, ModelSpec
from jobs.spec.train import TrainSpec

_PPM: Final = 1_000_000
_MOST_PIECES: Final = 64


class VerifySpec(Section):
    """How much of the work is replayed by supervisors."""

    sample: Share = 0.05

    @property
    def audit_ppm(self) -> int:
        """The share in millionths, as the chain records it."""
        return round(self.sample * _PPM)


class MinersSpec(Section):
    """How many miners the job waits for and takes at most."""

    min: Annotated[int, Field(ge=1, le=4096)] = 1
    max: Annotated[int, Field(ge=1, le=4096)] = 64

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.min > self.max:
            raise contradiction("min", f"must not be more than max ({self.max})")
        return self


class KeepingSpec(Section):
    """What the client pays for the keeping of the weights, and what is at stake for those who keep them."""

    reward: Annotated[int, Field(ge=0, le=9_000_000_000_000)] = 1
    """Whole credits for all pieces and proofs together."""
    proofs: Annotated[int, Field(ge=1, le=1_000_000)] = 4_320
    """So many times each provider has to prove that it still has its piece."""
    collateral: Annotated[int, Field(ge=0, le=9_000_000_000)] = 1
    """Whole credits that a provider loses for a piece that it fails to keep."""


class ReplicasSpec(KeepingSpec):
    """Keep whole copies of the weights."""

    replicas: Annotated[int, Field(ge=1, le=_MOST_PIECES)]


class ErasureSpec(KeepingSpec):
    """Keep `data` + `parity` pieces of the weights, any `data` of which are enough."""

    data: Annotated[int, Field(ge=2, le=_MOST_PIECES - 1)]
    parity: Annotated[int, Field(ge=1, le=_MOST_PIECES - 2)]

    @model_validator(mode="after")
    def _check_count(self) -> Self:
        if self.data + self.parity > _MOST_PIECES:
            raise contradiction("parity", f"data and parity together are more than {_MOST_PIECES} pieces")
        return self


def _which_storage(value: object) -> Literal["erasure", "replicas"]:
    keys: set[object] = set(value) if isinstance(value, dict) else set()
    return "erasure" if isinstance(value, ErasureSpec) or keys & {"data", "parity"} else "replicas"


StorageSpec = Annotated[
    Annotated[ReplicasSpec, Tag("replicas")] | Annotated[ErasureSpec, Tag("erasure")], Discriminator(_which_storage)
]


class JobSpec(Section):
    """A job as its client describes it. Model, data, train and seed decide the result; the rest does not touch it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    model: ModelSpec
    data: DataSpec
    train: TrainSpec
    verify: VerifySpec = VerifySpec()
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Joins the start beacon in what seeds the job."""
    miners: MinersSpec = MinersSpec()
    storage: StorageSpec | None = None
    """How storage providers keep the weights when the job is completed; without it only the site itself does."""
    reward: Annotated[int, Field(ge=0, le=9_000_000_000_000)] = 0
    """Whole credits paid for the work."""

    @model_validator(mode="after")
    def _check_model_and_data(self) -> Self:
        is_text = isinstance(self.data, PythonTextData)
        if isinstance(self.model, GptSpec) and not is_text:
            raise contradiction("model.name", "gpt learns from text; use data {source: python-text} or another model")
        if is_text and not isinstance(self.model, GptSpec):
            raise contradiction("model.name", f"{self.model.name} cannot learn from text; use gpt or other data")
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> Self:
        if isinstance(self.data, FileData):
            wanted = {"classification": "cross_entropy", "regression": "mse"}.get(self.data.kind or "", self.train.loss)
            if wanted != self.train.loss:
                raise contradiction("train.loss", f"{self.data.kind} data needs the loss {wanted}")
        elif self.train.loss != "cross_entropy":
            raise contradiction("train.loss", f"{self.data.source} has classes to tell apart: use cross_entropy")
        return self

    @model_validator(mode="after")
    def _check_stop(self) -> Self:
        stop = self.train.stop_when
        if stop is None:
            return self
        if stop.metric != self.metric:
            raise contradiction("train.stop_when.metric", f"this job measures {self.metric}, not {stop.metric}")
        if self.data.split.validation == 0.0:
            raise contradiction("train.stop_when", "needs a validation part: give data.split.validation a share")
        return self

    @property
    def metric(self) -> Literal["accuracy", "rmse", "nats_per_byte"]:
        """What is measured beside the loss."""
        if isinstance(self.data, PythonTextData):
            return "nats_per_byte"
        return "accuracy" if self.train.loss == "cross_entropy" else "rmse"
