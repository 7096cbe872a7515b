"""Blocks that do not follow the tip, say something else than their transactions, or lack the committee's word.

All are sealed as a dishonest supervisor or miner would seal them: what is wrong is only what the test says.
"""

import pytest
from msgspec.structs import replace

from consensus.chain.acceptance import assemble_template
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed
from consensus.errors import InvalidBlockError, Reject
from consensus.finality.certificate import endorse
from consensus.mechanisms.authority.seal import seal_header
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Digest, Height, Target, TimeMs
from consensus.primitives.merkle import merkle_root
from consensus.records.block import Block, Header
from consensus.records.transactions import Transfer
from tests.kit.genesis import make_genesis, public_key, secret_key
from tests.kit.site import CHEAT, Site, open_site


@pytest.fixture(scope="module")
def site() -> Site:
    site = open_site(miners=(CHEAT,))
    site.clock.now_ms += site.params.quiet_after_ms + 1
    return site


def transfer(site: Site, amount: int = 1) -> Signed:
    sequence = site.supervisor.chain.view.state.account(public_key("other")).sequence
    return site.sign("other", Transfer(sequence=sequence, recipient=public_key(CHEAT), amount=Credits(amount)))


def header(site: Site, *transactions: Signed, producer: SecretKey | None = None) -> Header:
    data = [encode(transaction) for transaction in transactions]
    producer = site.authority if producer is None else producer
    return assemble_template(
        site.supervisor.chain.view, data, producer.public_key, "authority", TimeMs(site.clock.now_ms)
    )


def sealed(site: Site, of: Header, *transactions: Signed, signer: SecretKey | None = None) -> bytes:
    seal = seal_header(site.authority if signer is None else signer, site.chain_id, of)
    return encode(Block(header=of, seal=seal, transactions=tuple(encode(item) for item in transactions)))


def test_a_block_without_fault_is_taken(site: Site) -> None:
    signed = transfer(site)
    assert site.supervisor.offer(sealed(site, header(site, signed), signed)).replay is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chain_id": make_genesis(network="another").chain_id}, Reject.CHAIN),
        ({"height": Height(1)}, Reject.HEIGHT),
        ({"height": Height(7)}, Reject.HEIGHT),
        ({"parent": Digest(bytes(32))}, Reject.PARENT),
        ({"mechanism": "trust me"}, Reject.MECHANISM),
        ({"target": Target(b"\xff" * 32)}, Reject.TARGET),
        ({"transactions_root": Digest(bytes(32))}, Reject.TRANSACTIONS_ROOT),
        ({"history_root": Digest(bytes(32))}, Reject.HISTORY_ROOT),
        ({"state_root": Digest(bytes(32))}, Reject.STATE_ROOT),
    ],
)
def test_a_header_that_says_something_else(site: Site, change: dict[str, object], code: Reject) -> None:
    signed = transfer(site)
    broken = replace(header(site, signed), **change)
    assert site.refusal(sealed(site, broken, signed)) is code


def test_a_time_that_is_not_after_the_parent(site: Site) -> None:
    signed = transfer(site)
    parent_ms = site.supervisor.chain.view.tip_time_ms
    for time_ms in (parent_ms, parent_ms - 1, 0):
        early = replace(header(site, signed), time_ms=TimeMs(time_ms))
        assert site.refusal(sealed(site, early, signed)) is Reject.TIME_NOT_AFTER_PARENT


def test_a_time_in_the_future(site: Site) -> None:
    """Otherwise a miner could make the next block easier than it should be."""
    signed = transfer(site)
    late = replace(header(site, signed), time_ms=TimeMs(site.clock.now_ms + site.params.max_future_ms + 1))
    assert site.refusal(sealed(site, late, signed)) is Reject.TIME_IN_FUTURE


def test_a_seal_by_somebody_else(site: Site) -> None:
    signed = transfer(site)
    honest = header(site, signed)
    assert site.refusal(sealed(site, honest, signed, signer=secret_key(CHEAT))) is Reject.SIGNATURE
    own = header(site, signed, producer=secret_key(CHEAT))
    assert site.refusal(sealed(site, own, signed, signer=secret_key(CHEAT))) is Reject.PRODUCER


def test_transactions_with_forged_signatures_or_twice(site: Site) -> None:
    """The header cannot be made over such transactions, so an honest one is taken and the body exchanged."""
    signed = transfer(site)
    forged = replace(signed, signature=bytes(64))
    unsigned = replace(header(site, signed), transactions_root=_root(forged))
    assert site.refusal(sealed(site, unsigned, forged)) is Reject.SIGNATURE
    doubled = replace(header(site, signed), transactions_root=_root(signed, signed))
    assert site.refusal(sealed(site, doubled, signed, signed)) is Reject.DUPLICATE_TRANSACTION


def _root(*transactions: Signed) -> Digest:
    return merkle_root([encode(transaction) for transaction in transactions])


def test_a_mined_block_without_mining(site: Site) -> None:
    signed = transfer(site)
    view = site.supervisor.chain.view
    template = assemble_template(view, [encode(signed)], public_key(CHEAT), "pouw", TimeMs(site.clock.now_ms))
    for seal in (b"", seal_header(secret_key(CHEAT), site.chain_id, template)):
        block = Block(header=template, seal=seal, transactions=(encode(signed),))
        assert site.refusal(encode(block)) is Reject.ENCODING


def test_a_refused_block_changes_nothing(site: Site) -> None:
    before = site.supervisor.chain.view
    site.refusal(b"")
    assert site.supervisor.chain.view is before


# the committee's word


def test_a_certificate_without_the_committee(site: Site) -> None:
    signed = transfer(site)
    candidate = site.supervisor.offer(sealed(site, header(site, signed), signed))
    chain = site.supervisor.chain
    beacon = chain.beacon(chain.height)
    assert beacon is not None
    good = endorse(site.authority, site.chain_id, candidate.block, beacon)
    forgeries = [
        (),
        (endorse(secret_key(CHEAT), site.chain_id, candidate.block, beacon),),
        (replace(good, vote=bytes(64)),),
        (replace(good, beacon_share=bytes(64)),),
        (replace(good, supervisor=public_key(CHEAT)),),
        (good, good),
        (endorse(site.authority, site.chain_id, candidate.block, Digest(bytes(32))),),
    ]
    for endorsements in forgeries:
        with pytest.raises(InvalidBlockError) as caught:
            chain.append(candidate, endorsements)
        assert caught.value.code is Reject.CERTIFICATE
    assert chain.height == candidate.block.header.height - 1


def test_a_block_that_a_faster_one_has_overtaken() -> None:
    site = open_site(miners=(CHEAT,))
    site.clock.now_ms += site.params.quiet_after_ms + 1
    signed = transfer(site)
    slow = site.supervisor.offer(sealed(site, header(site, signed), signed))
    site.supervisor.submit(encode(signed))
    site.append_quiet_block()
    with pytest.raises(InvalidBlockError) as caught:
        site.supervisor.accept(slow, None)
    assert caught.value.code is Reject.PARENT
