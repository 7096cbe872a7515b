"""The rules every section of a job follows: frozen, strict, nothing unknown, no infinities.

A check that concerns several keys raises `contradiction`, which names the key to blame. The reader of job files turns
that into a line number, so a check never has to know where its values came from.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

CONTRADICTION: Final = "contradiction"
KEY: Final = "key"

Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""A whole number from 1 on."""
Size = Annotated[int, Field(ge=1, le=65_536)]
"""A width, a height or a number of channels."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A part of one."""
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Text = Annotated[str, Field(min_length=1, max_length=4096)]


class Section(BaseModel):
    """Base of every mapping in a job file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=False)


def contradiction(key: str, message: str) -> PydanticCustomError:
    """An error about `key` (dotted, relative to the section that checks) that no single value shows."""
    return PydanticCustomError(CONTRADICTION, "{message}", {KEY: key, "message": message})
