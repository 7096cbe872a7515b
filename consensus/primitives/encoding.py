"""The one canonical codec: deterministic msgpack of frozen, array-like, tagged structs.

A record has exactly one encoding. Decoders accept several spellings of the same integer, so `decode` re-encodes and
requires equality: two different byte strings can never name the same record, and a signature covers what was sent.
Sizes are bounded before decoding; nesting is bounded by the record types, which are not recursive.
"""

from functools import cache
from typing import Final, TypeVar, Union, cast

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
    """Base of all that is signed, hashed or stored. A subclass names itself with `tag="pouw/<name>/<version>"`."""


RecordType = TypeVar("RecordType", bound=Record)


def encode(record: Record) -> bytes:
    """The canonical bytes of a record."""
    return _encoder.encode(record)


@cache
def _decoder(*kinds: type[Record]) -> "msgspec.msgpack.Decoder[Record]":
    return msgspec.msgpack.Decoder(Union[kinds])  # noqa: UP007  # a union of types only known when running


def decode(data: bytes, kind: type[RecordType], *, limit: int = MAX_RECORD_BYTES) -> RecordType:
    """Decode one record and require that `data` is its canonical encoding.

    Raises:
        EncodingError: too long, not msgpack, wrong tag, wrong shape, out of range or not canonical.
    """
    return cast("RecordType", decode_any(data, (kind,), kind.__name__, limit=limit))


def decode_any(data: bytes, kinds: tuple[type[Record], ...], name: str, *, limit: int = MAX_RECORD_BYTES) -> Record:
    """Decode a record of one of several kinds, told apart by tag. `name` is what an error calls it.

    Raises:
        EncodingError: as `decode`.
    """
    if len(data) > limit:
        raise EncodingError(f"{len(data)} bytes is over the limit of {limit} for {name}")
    try:
        record = _decoder(*kinds).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EncodingError(f"not a {name}: {error}") from error
    if encode(record) != data:
        raise EncodingError(f"{name} is not in its canonical encoding")
    return record
