"""The canonical codec: one encoding per record, and nothing else is accepted."""

import msgspec
import pytest

from consensus.errors import EncodingError
from consensus.primitives.encoding import decode, decode_any, encode
from consensus.records.block import Vote
from consensus.records.transactions import CancelJob, CloseJob, Transfer
from tests.kit.work import word

TRANSFER = Transfer(sequence=1, recipient=word("recipient"), amount=5)


def test_decodes_what_it_encoded() -> None:
    assert decode(encode(TRANSFER), Transfer) == TRANSFER


def test_decodes_one_of_several_kinds_by_tag() -> None:
    assert decode_any(encode(TRANSFER), (CancelJob, Transfer), "Transaction") == TRANSFER


def test_refuses_a_kind_that_is_not_among_those_expected() -> None:
    with pytest.raises(EncodingError, match="not a Transaction"):
        decode_any(encode(Vote(height=1, block=word("block"))), (CancelJob, Transfer), "Transaction")


def test_refuses_another_tag() -> None:
    with pytest.raises(EncodingError, match="not a CancelJob"):
        decode(encode(TRANSFER), CancelJob)


def test_refuses_an_integer_spelled_longer_than_needed() -> None:
    short = encode(TRANSFER)
    assert short[-1:] == b"\x05"
    with pytest.raises(EncodingError, match="canonical"):
        decode(short[:-1] + b"\xcc\x05", Transfer)


def test_refuses_left_out_defaults() -> None:
    close = CloseJob(job=word("job"), outcome="failed")
    shorter = msgspec.msgpack.encode(["pouw/close-job/1", close.job, "failed"])
    with pytest.raises(EncodingError, match="canonical"):
        decode(shorter, CloseJob)


def test_refuses_more_bytes_than_the_limit() -> None:
    data = encode(TRANSFER)
    assert decode(data, Transfer, limit=len(data)) == TRANSFER
    with pytest.raises(EncodingError, match="over the limit"):
        decode(data, Transfer, limit=len(data) - 1)


@pytest.mark.parametrize(
    "value",
    [
        ["pouw/transfer/1", 1, bytes(31), 5],
        ["pouw/transfer/1", 1, bytes(33), 5],
        ["pouw/transfer/1", -1, bytes(32), 5],
        ["pouw/transfer/1", 1, bytes(32), 2**63],
        ["pouw/transfer/1", 1, bytes(32), 5.0],
        ["pouw/transfer/1", 1, bytes(32), True],
        ["pouw/transfer/1", 1, bytes(32), None],
        ["pouw/transfer/1", 1, bytes(32)],
        ["pouw/transfer/1", 1, bytes(32), 5, 6],
        ["pouw/transfer/2", 1, bytes(32), 5],
        {"sequence": 1},
        [],
        None,
    ],
)
def test_refuses_values_out_of_shape_or_range(value: object) -> None:
    with pytest.raises(EncodingError):
        decode(msgspec.msgpack.encode(value), Transfer)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xff" * 20,
        b"\x91" * 5_000,
        b"\xdd\xff\xff\xff\xff",
        encode(TRANSFER) + b"\x00",
        encode(TRANSFER)[:-1],
        encode(CloseJob(job=word("job"), outcome="failed")).replace(b"failed", b"fa\xff\xfeed"),
    ],
)
def test_refuses_what_is_not_the_format(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode(data, CloseJob)


def test_distinguishes_an_absent_optional_from_a_present_one() -> None:
    assert encode(CloseJob(job=word("job"), outcome="failed")) == encode(
        CloseJob(job=word("job"), outcome="failed", reason="", metrics=())
    )
