"""Every record has one encoding, and one flipped byte anywhere in a signed message or a block is caught."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.chain.acceptance import check_block
from consensus.crypto.signing import check_signature, decode_signed
from consensus.errors import ConsensusError, EncodingError, InvalidBlockError, InvalidTransactionError
from consensus.ledger.transition import apply_transaction
from consensus.primitives.encoding import Record, decode, encode
from consensus.records.transactions import Transfer
from tests.kit.chain import start_chain
from tests.kit.genesis import public_key
from tests.kit.ledger import start_ledger
from tests.kit.pouw import draft_pouw
from tests.kit.records import RECORD_KINDS, records

_CHAIN = start_chain()
_POUW = draft_pouw(
    _CHAIN, _CHAIN.open_job(), _CHAIN.sign("other", Transfer(sequence=0, recipient=public_key("a"), amount=9))
).block()
_AUTHORITY = _CHAIN.authority_block(_CHAIN.sign("other", Transfer(sequence=0, recipient=public_key("a"), amount=9)))
_LEDGER = start_ledger()
_TRANSACTION = encode(_LEDGER.sign("other", Transfer(sequence=0, recipient=public_key("a"), amount=9)))


def flipped(data: bytes, position: int, mask: int) -> bytes:
    position %= len(data)
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


@pytest.mark.parametrize("kind", RECORD_KINDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_decoding_gives_back_what_was_encoded(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    assert decode(encode(record), kind) == record


@pytest.mark.parametrize("kind", RECORD_KINDS, ids=lambda kind: kind.__name__)
@settings(deadline=None, max_examples=15)
@given(data=st.data(), position=st.integers(0, 10_000), mask=st.integers(1, 255))
def test_other_bytes_never_decode_to_the_same_record(
    kind: type[Record], data: st.DataObject, position: int, mask: int
) -> None:
    record = data.draw(records(kind))
    try:
        other = decode(flipped(encode(record), position, mask), kind)
    except EncodingError:
        return
    assert other != record


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=200), kind=st.sampled_from(RECORD_KINDS))
def test_junk_is_refused_and_nothing_else(data: bytes, kind: type[Record]) -> None:
    with pytest.raises(EncodingError):
        decode(data, kind)


@settings(deadline=None, max_examples=200)
@given(position=st.integers(0, len(_TRANSACTION) - 1), mask=st.integers(1, 255))
def test_one_flipped_byte_of_a_signed_transaction_is_rejected(position: int, mask: int) -> None:
    data = flipped(_TRANSACTION, position, mask)
    with pytest.raises((EncodingError, InvalidTransactionError)):
        apply_transaction(_LEDGER.state, decode_signed(data), _LEDGER.context)
    with pytest.raises(ConsensusError):
        check_signature(decode_signed(data), _LEDGER.context.chain_id)


@settings(deadline=None, max_examples=300)
@given(block=st.sampled_from([_POUW, _AUTHORITY]), position=st.integers(0, 100_000), mask=st.integers(1, 255))
def test_one_flipped_byte_of_a_block_is_rejected(block: Record, position: int, mask: int) -> None:
    with pytest.raises(InvalidBlockError):
        check_block(flipped(encode(block), position, mask), _CHAIN.view, _POUW.header.time_ms)
