"""Why a block is final, and the beacon that follows."""

import pytest
from msgspec.structs import replace

from consensus.errors import InvalidBlockError, Reject
from consensus.finality.certificate import check_certificate, check_endorsement, derive_beacon, endorse, quorum
from consensus.primitives.integers import Digest
from consensus.records.block import Block, Certificate, Endorsement
from consensus.records.transactions import Transfer
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import public_key, secret_key
from tests.kit.work import word


@pytest.fixture(scope="module")
def chain() -> TestChain:
    chain = start_chain(4)
    chain.extend(chain.sign("other", Transfer(sequence=0, recipient=public_key("client"), amount=1)))
    return chain


def parts(chain: TestChain) -> tuple[Certificate, Block, Digest]:
    return chain.certificates[0], chain.blocks[0], chain.beacons[0]


def refused(chain: TestChain, certificate: Certificate) -> bool:
    _, block, previous = parts(chain)
    with pytest.raises(InvalidBlockError) as caught:
        check_certificate(certificate, block, chain.genesis.supervisors, chain.chain_id, previous)
    return caught.value.code is Reject.CERTIFICATE


def with_first(certificate: Certificate, endorsement: Endorsement) -> Certificate:
    return replace(certificate, endorsements=(endorsement, *certificate.endorsements[1:]))


@pytest.mark.parametrize(("supervisors", "least"), [(1, 1), (2, 2), (3, 3), (4, 3), (7, 5), (10, 7)])
def test_a_quorum_is_more_than_two_thirds(supervisors: int, least: int) -> None:
    assert quorum(supervisors) == least
    assert 3 * least > 2 * supervisors >= 3 * (least - 1)


def test_accepts_a_quorum_whoever_is_missing(chain: TestChain) -> None:
    certificate, block, previous = parts(chain)
    for missing in range(4):
        kept = tuple(item for number, item in enumerate(certificate.endorsements) if number != missing)
        smaller = replace(certificate, endorsements=kept)
        check_certificate(smaller, block, chain.genesis.supervisors, chain.chain_id, previous)


def test_refuses_less_than_a_quorum(chain: TestChain) -> None:
    certificate = parts(chain)[0]
    assert refused(chain, replace(certificate, endorsements=certificate.endorsements[:2]))
    assert refused(chain, replace(certificate, endorsements=()))


def test_refuses_the_same_member_twice(chain: TestChain) -> None:
    certificate = parts(chain)[0]
    first, second, third, _ = certificate.endorsements
    assert refused(chain, replace(certificate, endorsements=(first, second, second, third)))


def test_refuses_another_order(chain: TestChain) -> None:
    certificate = parts(chain)[0]
    assert refused(chain, replace(certificate, endorsements=certificate.endorsements[::-1]))


def test_refuses_a_stranger(chain: TestChain) -> None:
    certificate, block, previous = parts(chain)
    stranger = endorse(secret_key("stranger"), chain.chain_id, block, previous)
    assert refused(chain, replace(certificate, endorsements=(*certificate.endorsements, stranger)))


def test_refuses_another_block_or_height(chain: TestChain) -> None:
    certificate = parts(chain)[0]
    assert refused(chain, replace(certificate, block=word("another")))
    assert refused(chain, replace(certificate, height=2))


@pytest.mark.parametrize("part", ["vote", "beacon_share"])
def test_refuses_a_forged_signature(chain: TestChain, part: str) -> None:
    certificate, block, previous = parts(chain)
    first, second = certificate.endorsements[:2]
    forged = replace(first, **{part: getattr(second, part)})
    assert refused(chain, with_first(certificate, forged))
    with pytest.raises(InvalidBlockError) as caught:
        check_endorsement(forged, block, chain.chain_id, previous)
    assert caught.value.code is Reject.CERTIFICATE


def test_refuses_signatures_for_another_beacon_or_chain(chain: TestChain) -> None:
    certificate, block, previous = parts(chain)
    key = chain.committee[0]
    assert refused(chain, with_first(certificate, endorse(key, chain.chain_id, block, word("another beacon"))))
    assert refused(chain, with_first(certificate, endorse(key, word("another chain"), block, previous)))


def test_checks_a_single_endorsement(chain: TestChain) -> None:
    certificate, block, previous = parts(chain)
    check_endorsement(certificate.endorsements[0], block, chain.chain_id, previous)


def test_the_beacon_shares_name_no_block(chain: TestChain) -> None:
    _, block, previous = parts(chain)
    other = replace(block, seal=bytes(64))
    key = chain.committee[0]
    first, second = (endorse(key, chain.chain_id, item, previous) for item in (block, other))
    assert first.vote != second.vote
    assert first.beacon_share == second.beacon_share


def test_the_beacon_follows_from_the_shares_and_the_one_before(chain: TestChain) -> None:
    certificate, _, previous = parts(chain)
    assert derive_beacon(certificate, previous) == chain.beacons[1]
    smaller = replace(certificate, endorsements=certificate.endorsements[:3])
    beacons = {
        derive_beacon(certificate, previous),
        derive_beacon(smaller, previous),
        derive_beacon(certificate, word("another")),
    }
    assert len(beacons) == 3
