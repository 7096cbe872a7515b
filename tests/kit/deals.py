"""Storage deals on a test ledger: providers with stakes, replicas of made-up bytes under real roots, real proofs."""

from collections.abc import Sequence

from msgspec.structs import replace

from consensus.ledger.entries import Deal, Piece, ProviderAccount, Replica
from consensus.primitives.integers import ZERO_DIGEST, Digest, Height, PublicKey
from consensus.records.storage import (
    AssignPiece,
    CommitReplica,
    DealId,
    JudgeReplica,
    OfferStorage,
    OpenDeal,
    PieceRoot,
    ProveStorage,
    SettleChallenge,
    Stake,
)
from consensus.records.transactions import Transfer
from consensus.storage.challenge import draw_sectors
from consensus.storage.multiproof import sibling_positions
from consensus.storage.sectors import SECTOR_BYTES, replica_root, replica_size, sector_count, sector_leaves, tree_levels
from tests.kit.genesis import public_key
from tests.kit.ledger import TestLedger, start_ledger
from tests.kit.work import word

PROVIDERS = ("north", "east", "south", "west")
"""Each on a machine of its own name."""
ARTIFACT_BYTES = 6_000
STAKED = 1_000
PRICE, COLLATERAL, PROOFS, COPIES = 10, 300, 5, 3


def sealed_bytes(deal: DealId, piece: int, provider: PublicKey, size_bytes: int) -> bytes:
    """What stands for the replica of a piece of so many bytes: different for every deal, piece and provider."""
    size = replica_size(size_bytes)
    seed = word("replica", deal.hex(), piece, provider.hex())
    return b"".join(word(seed.hex(), number) for number in range(size // 32))


def root_of(replica: bytes) -> Digest:
    """The replica root of these bytes."""
    return replica_root(sector_leaves(replica), len(replica))


def prove_sectors(replica: bytes, indices: Sequence[int]) -> tuple[tuple[bytes, ...], tuple[Digest, ...]]:
    """The sectors and the siblings that lead to the replica root."""
    levels = tree_levels(sector_leaves(replica))
    sectors = tuple(replica[index * SECTOR_BYTES : (index + 1) * SECTOR_BYTES] for index in indices)
    positions = sibling_positions(sector_count(len(replica)), indices)
    return sectors, tuple(levels[level][number] for level, number in positions)


def add_provider(ledger: TestLedger, name: str, node: str = "", capacity: int = 100_000, stake: int = STAKED) -> None:
    """Give a new account credits, stake them and offer storage."""
    sequence = ledger.account("other").sequence
    ledger.apply("other", Transfer(sequence=sequence, recipient=public_key(name), amount=stake))
    ledger.apply(name, Stake(sequence=0, amount=stake))
    ledger.apply(name, OfferStorage(sequence=1, node=node or name, capacity=capacity))


def exclude(ledger: TestLedger, name: str) -> None:
    """As the proof of a fraud does."""
    account = ledger.account(name)
    without = replace(account, excluded=True, stake=0, locked=0)
    ledger.state = ledger.state.with_account(public_key(name), without).with_totals(treasury=account.stake)


def deal_message(ledger: TestLedger, **changes: object) -> OpenDeal:
    """The deal that `client` could open next: three copies, five challenges."""
    piece = PieceRoot(root=word("artifact"), size=ARTIFACT_BYTES)
    message = OpenDeal(
        sequence=ledger.account("client").sequence,
        root=piece.root,
        size=piece.size,
        binding=ZERO_DIGEST,
        data_pieces=1,
        pieces=(piece,) * COPIES,
        price=PRICE,
        collateral=COLLATERAL,
        proofs=PROOFS,
    )
    return replace(message, **changes)


def start_deal(providers: Sequence[str] = PROVIDERS, **changes: object) -> tuple[TestLedger, DealId]:
    """A ledger with providers and one deal whose pieces are vacant."""
    ledger = start_ledger()
    for name in providers:
        add_provider(ledger, name)
    return ledger, ledger.apply("client", deal_message(ledger, **changes)).digest


def start_kept_deal(holders: int = COPIES, **changes: object) -> tuple[TestLedger, DealId]:
    """A deal whose first pieces are active with the first providers; the ledger stands at the first challenge."""
    ledger, deal = start_deal(**changes)
    for number, name in enumerate(PROVIDERS[:holders]):
        activate(ledger, deal, number, name)
    reach_challenge(ledger, deal)
    return ledger, deal


def deal_of(ledger: TestLedger, deal: DealId) -> Deal:
    return ledger.state.deals[deal]


def piece_of(ledger: TestLedger, deal: DealId, piece: int = 0) -> Piece:
    return deal_of(ledger, deal).pieces[piece]


def holder_of(ledger: TestLedger, deal: DealId, piece: int = 0) -> Replica:
    holder = piece_of(ledger, deal, piece).holder
    assert holder is not None
    return holder


def provider_of(ledger: TestLedger, name: str) -> ProviderAccount:
    return ledger.state.providers[public_key(name)]


def assignment(ledger: TestLedger, deal: DealId, piece: int, name: str) -> AssignPiece:
    """The next assignment of a piece, to this provider."""
    return AssignPiece(deal=deal, piece=piece, term=piece_of(ledger, deal, piece).terms, provider=public_key(name))


def commitment(ledger: TestLedger, deal: DealId, piece: int, name: str) -> CommitReplica:
    """What the provider that was assigned last says when it has sealed."""
    state = piece_of(ledger, deal, piece)
    root = root_of(sealed_bytes(deal, piece, public_key(name), state.size))
    return CommitReplica(deal=deal, piece=piece, term=state.terms - 1, replica=root)


def judgement(ledger: TestLedger, deal: DealId, piece: int, *, accepted: bool = True) -> JudgeReplica:
    """The judgement of the replica that was sealed last."""
    replica = piece_of(ledger, deal, piece).replicas[-1]
    return JudgeReplica(
        deal=deal, piece=piece, term=replica.term, replica=replica.root or word("none"), accepted=accepted
    )


def seal(ledger: TestLedger, deal: DealId, piece: int, name: str) -> None:
    """Assign a piece and commit its replica."""
    ledger.apply("supervisor", assignment(ledger, deal, piece, name))
    ledger.apply(name, commitment(ledger, deal, piece, name))


def activate(ledger: TestLedger, deal: DealId, piece: int, name: str) -> None:
    """Assign a piece, commit its replica and accept it."""
    seal(ledger, deal, piece, name)
    ledger.apply("supervisor", judgement(ledger, deal, piece))


def reach_challenge(ledger: TestLedger, deal: DealId) -> Height:
    """Go to the first block in which the next challenge can be answered; returns the challenge's height."""
    height = deal_of(ledger, deal).challenge_height
    assert height is not None
    ledger.move_to(height + 1)
    return height


def proof(ledger: TestLedger, deal: DealId, piece: int, name: str, **changes: object) -> ProveStorage:
    """The honest answer of a provider to the challenge at hand."""
    account = deal_of(ledger, deal)
    height = account.challenge_height
    beacon = ledger.context.beacon(height) if height is not None else None
    assert height is not None
    assert beacon is not None
    provider, size = public_key(name), replica_size(account.pieces[piece].size)
    count = ledger.context.params.challenge_sectors
    drawn = draw_sectors(beacon, deal, piece, provider, sector_count(size), count)
    sectors, siblings = prove_sectors(sealed_bytes(deal, piece, provider, account.pieces[piece].size), drawn)
    answer = ProveStorage(deal=deal, piece=piece, height=height, sectors=sectors, siblings=siblings)
    return replace(answer, **changes)


def settlement(ledger: TestLedger, deal: DealId) -> SettleChallenge:
    """The settlement of the challenge at hand."""
    height = deal_of(ledger, deal).challenge_height
    assert height is not None
    return SettleChallenge(deal=deal, height=height)


def run_challenge(ledger: TestLedger, deal: DealId, provers: Sequence[str]) -> None:
    """Go to the next challenge, let those of `provers` that hold a piece prove, and settle after the deadline."""
    height = reach_challenge(ledger, deal)
    names = {public_key(name): name for name in provers}
    for number, piece in enumerate(deal_of(ledger, deal).pieces):
        holder = piece.holder
        if holder is not None and holder.provider in names and deal_of(ledger, deal).is_challenged(piece):
            ledger.apply(names[holder.provider], proof(ledger, deal, number, names[holder.provider]))
    ledger.move_to(height + ledger.context.params.deadline_blocks + 1)
    ledger.apply("supervisor", settlement(ledger, deal))
