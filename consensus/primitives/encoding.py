"""The one canonical codec: deterministic msgpack of frozen, array-like, tagged structs.

A record has exactly one encoding. Decoders accept several spellings of the same integer, so `decode` re-encodes and
requires equality: two different byte strings can never name the same record, and a signature covers what was sent.
Sizes are bounded before decoding; nesting is bounded by the record types, which are not recursive.
"""

from functools import cache
from typing import Final, TypeVar

import msgspec

from consensus.errors import EncodingError

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder(order="deterministic")


class Record(
    msgspec.Struct,
    frozen=True,
    array_like=True,
    forbid_unknown_fields=True,
    kw_only=True,
    gc=False,
):
    """Base of everything that is signed, hashed or stored. A subclass names itself with `tag="pouw/<name>/<version>"`."""


RecordType = TypeVar("RecordType", bound=Record)


def encode(record: Record) -> bytes:
    """The canonical bytes of a record."""
    return _encoder.encode(record)


@cache
def _decoder(kind: type[RecordType]) -> "msgspec.msgpack.Decoder[RecordType]":
    return msgspec.msgpack.Decoder(kind)


def decode(data: bytes, kind: type[RecordType], *, limit: int = MAX_RECORD_BYTES) -> RecordType:
    """Decode one record and require that `data` is its canonical encoding.

    Raises:
        EncodingError: too long, not msgpack, wrong tag, wrong shape, out of range or not canonical.
    """
    if len(data) > limit:
        raise EncodingError(f"{len(data)} bytes is over the limit of {limit} for {kind.__name__}")
    try:
        record = _decoder(kind).decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise EncodingError(f"not a {kind.__name__}: {error}") from error
    if encode(record) != data:
        raise EncodingError(f"{kind.__name__} is not in its canonical encoding")
    return record
