"""A certificate holds exactly if a quorum of different members, in order, signed this block and this beacon."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from consensus.errors import InvalidBlockError
from consensus.finality.certificate import check_certificate, quorum
from consensus.primitives.encoding import decode, encode
from consensus.records.block import Certificate
from consensus.records.transactions import Transfer
from tests.kit.chain import start_chain
from tests.kit.genesis import public_key

_CHAIN = start_chain(7)
_BLOCK = _CHAIN.authority_block(_CHAIN.sign("other", Transfer(sequence=0, recipient=public_key("client"), amount=1)))
_CERTIFICATE = _CHAIN.certify(_BLOCK)


def holds(certificate: Certificate) -> bool:
    try:
        check_certificate(certificate, _BLOCK, _CHAIN.genesis.supervisors, _CHAIN.chain_id, _CHAIN.beacons[0])
    except InvalidBlockError:
        return False
    return True


@settings(deadline=None, max_examples=100)
@given(members=st.lists(st.integers(0, 6), max_size=8))
def test_holds_for_a_quorum_in_order_and_for_nothing_else(members: list[int]) -> None:
    endorsements = tuple(_CERTIFICATE.endorsements[member] for member in members)
    expected = members == sorted(set(members)) and len(members) >= quorum(7)
    assert holds(replace(_CERTIFICATE, endorsements=endorsements)) == expected


@settings(deadline=None, max_examples=100)
@given(kept=st.sets(st.integers(0, 6), min_size=5))
def test_holds_for_every_quorum(kept: set[int]) -> None:
    endorsements = tuple(_CERTIFICATE.endorsements[member] for member in sorted(kept))
    assert holds(replace(_CERTIFICATE, endorsements=endorsements))


@settings(deadline=None, max_examples=100)
@given(member=st.integers(0, 6), position=st.integers(0, 63), mask=st.integers(1, 255), votes=st.booleans())
def test_one_flipped_byte_of_a_signature_is_caught(member: int, position: int, mask: int, votes: bool) -> None:
    endorsements = list(_CERTIFICATE.endorsements)
    field = "vote" if votes else "beacon_share"
    signature = bytearray(getattr(endorsements[member], field))
    signature[position] ^= mask
    endorsements[member] = replace(endorsements[member], **{field: bytes(signature)})
    assert not holds(replace(_CERTIFICATE, endorsements=tuple(endorsements)))


def test_travels_as_bytes() -> None:
    assert holds(decode(encode(_CERTIFICATE), Certificate))
