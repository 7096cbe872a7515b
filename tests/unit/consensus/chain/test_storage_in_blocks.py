"""A deal in real blocks: the beacon that a challenge draws with is the one that its certificate releases."""

import pytest

from consensus.errors import InvalidBlockError, Reject
from consensus.primitives.encoding import Record
from consensus.primitives.integers import ZERO_DIGEST, Digest, Height
from consensus.records.storage import (
    AssignPiece,
    CommitReplica,
    DealId,
    JudgeReplica,
    OfferStorage,
    OpenDeal,
    PieceRoot,
    ProveStorage,
    Pulse,
    SettleChallenge,
    Stake,
)
from consensus.storage.challenge import draw_sectors
from consensus.storage.sectors import sector_count
from tests.kit.chain import TestChain, start_chain
from tests.kit.deals import prove_sectors, root_of, sealed_bytes
from tests.kit.genesis import public_key
from tests.kit.work import word

SIZE = 90_000


def say(chain: TestChain, *sayings: tuple[str, Record]) -> None:
    """One block with these messages; the supervisor signs what `supervisor` says."""
    chain.extend(*[chain.sign(chain.supervisor if name == "supervisor" else name, said) for name, said in sayings])


def chain_with_a_deal() -> tuple[TestChain, DealId]:
    """`other` keeps the only piece of a deal of `client`; the chain ends in the block of the first challenge."""
    chain = start_chain(4)
    copy = PieceRoot(root=word("artifact"), size=SIZE)
    opening = OpenDeal(
        sequence=0,
        root=copy.root,
        size=copy.size,
        binding=ZERO_DIGEST,
        data_pieces=1,
        pieces=(copy,),
        price=7,
        collateral=5,
        proofs=2,
    )
    deal = chain.sign("client", opening).digest
    root = root_of(sealed_bytes(deal, 0, public_key("other"), SIZE))
    offer = OfferStorage(sequence=1, node="n", capacity=100_000)
    say(chain, ("client", opening), ("other", Stake(sequence=0, amount=5)), ("other", offer))
    say(chain, ("supervisor", AssignPiece(deal=deal, piece=0, term=0, provider=public_key("other"))))
    say(chain, ("other", CommitReplica(deal=deal, piece=0, term=0, replica=root)))
    say(chain, ("supervisor", JudgeReplica(deal=deal, piece=0, term=0, replica=root, accepted=True)))
    while chain.view.next_height <= challenge_of(chain, deal):
        say(chain, ("supervisor", Pulse(height=chain.view.next_height)))
    return chain, deal


def challenge_of(chain: TestChain, deal: DealId) -> int:
    return chain.view.state.deals[deal].challenge_height or 0


def answer(chain: TestChain, deal: DealId, beacon: Digest) -> ProveStorage:
    replica = sealed_bytes(deal, 0, public_key("other"), SIZE)
    count = chain.view.params.challenge_sectors
    drawn = draw_sectors(beacon, deal, 0, public_key("other"), sector_count(len(replica)), count)
    sectors, siblings = prove_sectors(replica, drawn)
    height = challenge_of(chain, deal)
    return ProveStorage(deal=deal, piece=0, height=height, sectors=sectors, siblings=siblings)


def test_a_proof_answers_the_beacon_of_the_challenges_block() -> None:
    chain, deal = chain_with_a_deal()
    height = challenge_of(chain, deal)
    wrong = answer(chain, deal, chain.beacons[height - 1])
    with pytest.raises(InvalidBlockError) as caught:
        chain.authority_block(chain.sign("other", wrong))
    assert caught.value.code is Reject.STORAGE_PROOF
    settle = SettleChallenge(deal=deal, height=height)
    say(chain, ("other", answer(chain, deal, chain.beacons[height])), ("supervisor", settle))
    assert chain.view.state.deals[deal].paid == 7
    assert challenge_of(chain, deal) == height + 1 + chain.view.params.challenge_interval


def test_a_pulse_is_for_one_block_only() -> None:
    chain, _ = chain_with_a_deal()
    late = chain.sign(chain.supervisor, Pulse(height=Height(chain.view.next_height - 1)))
    with pytest.raises(InvalidBlockError) as caught:
        chain.authority_block(late)
    assert caught.value.code is Reject.PULSE
