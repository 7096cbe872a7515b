"""The outcome of one `pouw` command."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """stdout, which must be one JSON object and nothing else."""
        return msgspec.json.decode(self.out, type=dict)

    @property
    def error_code(self) -> object:
        """The stable code of a failed command run with --json."""
        assert set(self.json) == {"error", "code", "hint"}, self.out
        return self.json["code"]


Pouw = Callable[..., Outcome]
