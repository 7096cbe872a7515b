"""The one byte string of a job, and the part of it that decides the result.

Canonical JSON: sorted keys, no spaces, defaults written out, floats as Python's shortest round-trip text. The whole is
kept as an artifact; `program_bytes` leaves out what must not change the result, such as the name, the reward, the
path the data was read from (the dataset root stands for the data) and the device.
"""

import json
from typing import Final

from pydantic import ValidationError

from jobs.errors import JobFileError
from jobs.spec.job import JobSpec
from jobs.spec.mistakes import describe_mistakes

MAX_SPEC_BYTES: Final = 256 * 1024
_WHERE: Final = "job spec"
_LOCATION_KEYS: Final = frozenset({"path", "format"})
_MACHINE_KEYS: Final = frozenset({"device", "replay_class"})


def spec_bytes(spec: JobSpec) -> bytes:
    """The canonical bytes of a job."""
    return _canonical_json(spec.model_dump(mode="json"))


def program_bytes(spec: JobSpec) -> bytes:
    """The canonical bytes of what decides the result: model, data, train and seed."""
    sections = spec.model_dump(mode="json", include={"model", "data", "train", "seed"})
    sections["data"] = {key: value for key, value in sections["data"].items() if key not in _LOCATION_KEYS}
    sections["train"] = {key: value for key, value in sections["train"].items() if key not in _MACHINE_KEYS}
    return _canonical_json(sections)


def parse_spec(data: bytes) -> JobSpec:
    """Read the canonical bytes of a job that somebody else sent.

    Raises:
        JobFileError: too long, not JSON, mistakes in the job, or not its canonical bytes.
    """
    if len(data) > MAX_SPEC_BYTES:
        raise JobFileError((f"{_WHERE}: {len(data)} bytes is over the limit of {MAX_SPEC_BYTES}",))
    try:
        spec = JobSpec.model_validate_json(data)
    except ValidationError as error:
        mistakes = describe_mistakes(error)
        raise JobFileError(tuple(f"{_WHERE}: {mistake}" for mistake in mistakes)) from error
    if spec_bytes(spec) != data:
        raise JobFileError((f"{_WHERE}: not in its canonical form",))
    return spec


def _canonical_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
