"""Reading records back: absent and damaged are two different things, and both are said by name."""

from typing import TypeVar

from consensus.errors import EncodingError
from consensus.primitives.encoding import Record, decode
from storage.errors import RecordCorruptError, RecordMissingError
from storage.kv import Batch, Reader

RecordType = TypeVar("RecordType", bound=Record)


def load_record(reader: Reader, key: bytes, kind: type[RecordType], name: str) -> RecordType:
    """The record under `key`; `name` is what messages call it.

    Raises:
        RecordMissingError: nothing is stored there.
        RecordCorruptError: what is stored is not a canonical `kind`.
    """
    data = reader.get(key)
    if data is None:
        raise RecordMissingError(kind.__name__, name)
    return decode_stored(data, kind, name)


def decode_stored(data: bytes, kind: type[RecordType], name: str) -> RecordType:
    """Decode bytes of our own disk; raises RecordCorruptError."""
    try:
        return decode(data, kind, limit=len(data))
    except EncodingError as error:
        raise RecordCorruptError(kind.__name__, name) from error


def load_number(reader: Reader | Batch, key: bytes) -> int | None:
    """A stored counter or height, or None."""
    data = reader.get(key)
    return None if data is None else int.from_bytes(data, "big")
