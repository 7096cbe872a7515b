"""Signed envelopes: valid for one message, one kind, one signer and one chain."""

import pytest
from msgspec.structs import replace

from consensus.crypto.signing import check_signature, decode_signed, open_signed, sign
from consensus.errors import EncodingError, SignatureError
from consensus.primitives.encoding import encode
from consensus.records.block import BeaconShare, Vote
from tests.kit.genesis import public_key, secret_key
from tests.kit.work import word

CHAIN = word("chain")
VOTE = Vote(height=1, block=word("block"))
SIGNED = sign(secret_key("a"), CHAIN, VOTE)


def test_opens_what_was_signed() -> None:
    assert open_signed(decode_signed(encode(SIGNED)), Vote, CHAIN) == VOTE


@pytest.mark.parametrize(
    "forged",
    [
        replace(SIGNED, body=encode(replace(VOTE, height=2))),
        replace(SIGNED, signer=public_key("b")),
        replace(SIGNED, signature=bytes(64)),
    ],
)
def test_refuses_an_altered_envelope(forged: object) -> None:
    with pytest.raises(SignatureError):
        check_signature(forged, CHAIN)


def test_refuses_a_signature_for_another_chain() -> None:
    with pytest.raises(SignatureError):
        open_signed(SIGNED, Vote, word("another chain"))


def test_refuses_another_kind_of_message() -> None:
    with pytest.raises(EncodingError):
        open_signed(SIGNED, BeaconShare, CHAIN)


def test_is_named_by_body_and_signer() -> None:
    assert SIGNED.digest == replace(SIGNED, signature=bytes(64)).digest
    assert SIGNED.digest != replace(SIGNED, signer=public_key("b")).digest
    assert SIGNED.digest != sign(secret_key("a"), CHAIN, replace(VOTE, height=2)).digest


def test_bounds_an_envelope() -> None:
    with pytest.raises(EncodingError, match="over the limit"):
        decode_signed(encode(SIGNED), limit=10)
