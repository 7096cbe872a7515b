"""Bytes that are not the one encoding of anything, at every edge where a node takes bytes. Nothing changes by them.

Were a second encoding of a record taken, one signed transaction would have two names, and a report two digests.
"""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.crypto.signing import Signed, decode_signed, signing_bytes
from consensus.errors import ConsensusError, EncodingError, InvalidBlockError, InvalidTransactionError, Reject
from consensus.primitives.encoding import MAX_RECORD_BYTES, encode
from consensus.primitives.integers import Credits, Sequence
from consensus.primitives.merkle import merkle_root
from consensus.records.block import Block
from consensus.records.transactions import Transfer
from tests.kit.genesis import public_key, secret_key
from tests.kit.site import CHEAT, Site, open_site

AMOUNT = 5
TAG = b"\xafpouw/transfer/1"
RECIPIENT = b"\xc4\x20" + public_key(CHEAT)


@pytest.fixture(scope="module")
def site() -> Site:
    return open_site(miners=(CHEAT,))


def transfer_body() -> bytes:
    return encode(Transfer(sequence=Sequence(0), recipient=public_key(CHEAT), amount=Credits(AMOUNT)))


def signed_body(site: Site, body: bytes) -> bytes:
    """Whatever bytes, under a valid signature: the attacker has a key."""
    key = secret_key("other")
    signature = key.sign(signing_bytes(site.chain_id, body))
    return encode(Signed(body=body, signer=key.public_key, signature=signature))


SPELLINGS: dict[str, bytes] = {
    "sequence as uint8": b"\x94" + TAG + b"\xcc\x00" + RECIPIENT + b"\x05",
    "amount as uint64": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\xcf" + AMOUNT.to_bytes(8, "big"),
    "amount as int8": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\xd0\x05",
    "amount as float": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\xcb\x40\x14\x00\x00\x00\x00\x00\x00",
    "amount as text": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\xa15",
    "negative amount": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\xff",
    "amount of 64 bits": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\xcf" + b"\xff" * 8,
    "array with a long header": b"\xdc\x00\x04" + TAG + b"\x00" + RECIPIENT + b"\x05",
    "tag with a long header": b"\x94\xd9" + TAG[:1].replace(b"\xaf", b"\x0f") + TAG[1:] + b"\x00" + RECIPIENT + b"\x05",
    "recipient with a long header": b"\x94" + TAG + b"\x00\xc5\x00\x20" + public_key(CHEAT) + b"\x05",
    "recipient as text": b"\x94" + TAG + b"\x00\xd9\x20" + b"a" * 32 + b"\x05",
    "short recipient": b"\x94" + TAG + b"\x00\xc4\x1f" + bytes(31) + b"\x05",
    "one field more": b"\x95" + TAG + b"\x00" + RECIPIENT + b"\x05\xc0",
    "one field less": b"\x93" + TAG + b"\x00" + RECIPIENT,
    "a mapping": b"\x81\xa4type" + TAG,
    "no tag": b"\x93\x00" + RECIPIENT + b"\x05",
    "an unknown tag": b"\x94\xafpouw/transfer/9\x00" + RECIPIENT + b"\x05",
    "a tag that is no text": b"\x94\xaf" + b"\xff" * 15 + b"\x00" + RECIPIENT + b"\x05",
    "trailing bytes": b"\x94" + TAG + b"\x00" + RECIPIENT + b"\x05\x00",
    "cut short": b"\x94" + TAG + b"\x00" + RECIPIENT,
    "nothing": b"",
    "a list of four thousand million": b"\xdd\xff\xff\xff\xff" + TAG,
    "four gigabytes announced": b"\x94" + TAG + b"\x00\xc6\xff\xff\xff\xff",
    "deep nesting": b"\x91" * 100_000,
    "deep nesting in a field": b"\x94" + TAG + b"\x91" * 50_000 + b"\x00",
}


def test_the_spelling_that_all_others_are_held_against_is_taken() -> None:
    site = open_site(miners=(CHEAT,))
    assert transfer_body() == b"\x94" + TAG + b"\x00" + RECIPIENT + b"\x05"
    site.supervisor.submit(signed_body(site, transfer_body()))
    site.append_quiet_block()
    assert site.balance(CHEAT) == AMOUNT


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_of_a_transaction(site: Site, spelling: str) -> None:
    with pytest.raises(InvalidTransactionError) as caught:
        site.supervisor.submit(signed_body(site, SPELLINGS[spelling]))
    assert caught.value.code is Reject.ENCODING
    assert len(site.supervisor.pool) == 0


MANGLINGS: list[Callable[[bytes], bytes]] = [
    lambda data: data + b"\x00",
    lambda data: data[:-1],
    lambda data: b"",
    lambda data: b"\xdc\x00\x04" + data[1:],
    lambda data: b"\x95" + data[1:] + b"\xc0",
    lambda data: b"\x91" * 100_000 + data,
    lambda data: data * 2,
]


@pytest.mark.parametrize("mangle", MANGLINGS)
def test_another_spelling_of_an_envelope(site: Site, mangle: Callable[[bytes], bytes]) -> None:
    data = mangle(signed_body(site, transfer_body()))
    for take in (
        lambda: site.supervisor.submit(data),
        lambda: site.supervisor.commit_round(data, ()),
        lambda: site.miners[CHEAT].run_slot(data, None),
        lambda: decode_signed(data),
    ):
        with pytest.raises(EncodingError):
            take()


@pytest.mark.parametrize("mangle", MANGLINGS)
def test_another_spelling_of_a_block(site: Site, mangle: Callable[[bytes], bytes]) -> None:
    template = site.supervisor.template(public_key(CHEAT))
    assert template is not None
    data = mangle(encode(Block(header=template.header, seal=b"", transactions=())))
    assert site.refusal(data) in (Reject.ENCODING, Reject.OVERSIZED)


def test_more_bytes_than_a_transaction_may_have(site: Site) -> None:
    limit = site.params.max_transaction_bytes
    with pytest.raises(EncodingError):
        site.supervisor.submit(bytes(limit + 1))
    with pytest.raises(EncodingError):
        decode_signed(bytes(MAX_RECORD_BYTES + 1))


def test_more_bytes_than_a_transaction_may_have_inside_a_block(site: Site) -> None:
    body = transfer_body() + bytes(site.params.max_transaction_bytes)
    template = site.supervisor.template(public_key(CHEAT))
    assert template is not None
    data = (signed_body(site, body),)
    header = replace(template.header, transactions_root=merkle_root(data))
    assert site.refusal(encode(Block(header=header, seal=b"", transactions=data))) is Reject.OVERSIZED


def test_more_bytes_than_a_block_may_have(site: Site) -> None:
    assert site.refusal(bytes(site.params.max_block_bytes + 1)) is Reject.OVERSIZED


@settings(deadline=None, max_examples=150)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_of_a_transaction_goes_unnoticed(position: int, bit: int) -> None:
    site = _site()
    data = bytearray(signed_body(site, transfer_body()))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(ConsensusError):
        site.supervisor.submit(bytes(data))


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=300))
def test_noise_is_refused_in_order(data: bytes) -> None:
    site = _site()
    with pytest.raises(EncodingError):
        site.supervisor.submit(data)
    with pytest.raises(InvalidBlockError) as caught:
        site.supervisor.offer(data)
    assert caught.value.code is Reject.ENCODING


_SITES: list[Site] = []


def _site() -> Site:
    """One site for all examples: refused bytes leave it as it is."""
    if not _SITES:
        _SITES.append(open_site(miners=(CHEAT,)))
    return _SITES[0]
