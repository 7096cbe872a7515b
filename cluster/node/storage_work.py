"""What a supervisor tells a storage provider of its work."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from consensus.ledger.entries import Deal, Piece, Replica
from consensus.ledger.state import LedgerState
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.storage import DealId
from storage.replica_record import PieceName


class PieceTask(msgspec.Struct, frozen=True, kw_only=True):
    """One piece that a provider holds or is to hold."""

    deal: Digest
    piece: int
    term: int
    root: Digest
    size: int
    """Bytes of the piece."""
    status: str
    """`assigned`, `sealed` or `active`: consensus.ledger.entries.ReplicaStatus."""
    data_pieces: int
    total_pieces: int
    artifact_size: int
    leaving: bool = False
    """It has asked to be replaced."""
    challenge: int | None = None
    """The challenge that is open and not answered."""
    beacon: Digest | None = None
    """Its beacon."""


class ProviderWork(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's account, offer and pieces."""

    height: int
    """Of the last final block."""
    sequence: int
    """What its next transaction must carry."""
    balance: int
    stake: int
    offered_bytes: int | None
    """None before its first offer."""
    suspended: bool
    tasks: tuple[PieceTask, ...]
    spare: tuple[PieceName, ...] = ()
    """What it has of pieces that nobody keeps now: it should not be dropped, the piece may come back to it."""


def has_open_challenge(state: LedgerState, height: Height) -> bool:
    """Whether some provider has still to answer a challenge of a block up to `height`."""
    if not state.totals.open_deals:
        return False
    return any(
        deal.is_challenged(piece) and piece.holder is not None and not piece.holder.proved
        for deal in state.deals.values()
        if deal.is_open and deal.challenge_height is not None and deal.challenge_height <= height
        for piece in deal.pieces
    )


def spare_pieces(state: LedgerState, held: Iterable[PieceName]) -> tuple[PieceName, ...]:
    """Those of the pieces that an open deal wants and nobody keeps."""
    deals = state.deals
    return tuple(
        (key, int(number))
        for key, number in held
        if (deal := deals.get(key)) is not None
        and deal.is_open
        and 0 <= number < len(deal.pieces)
        and deal.pieces[number].holder is None
    )


class PieceSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes of a deal can be read now."""

    has_origin: bool
    """The supervisor itself hands out every piece by its root."""
    holders: tuple[tuple[int, str], ...]
    """Pieces, and the actors that keep them."""
    roots: tuple[Digest, ...]
    """Of all pieces."""


def provider_work(
    state: LedgerState,
    provider: PublicKey,
    height: Height,
    beacon: Callable[[Height], Digest | None],
    held: Iterable[PieceName] = (),
) -> ProviderWork:
    """What `state`, the ledger after all that waits for a block, asks of a provider that has the pieces `held`.

    `height`: the last final block.
    """
    account, offer = state.account(provider), state.providers.get(provider)
    tasks = (_task(held, beacon) for held in replicas_of(state, provider))
    return ProviderWork(
        height=height,
        sequence=account.sequence,
        balance=account.balance,
        stake=account.stake,
        offered_bytes=None if offer is None else offer.capacity,
        suspended=offer is not None and offer.suspended,
        tasks=tuple(tasks),
        spare=spare_pieces(state, held),
    )


@dataclass(frozen=True, slots=True)
class HeldReplica:
    """One copy of a piece in an open deal."""

    key: DealId
    deal: Deal
    number: int
    piece: Piece
    replica: Replica


def replicas_of(state: LedgerState, provider: PublicKey) -> Iterator[HeldReplica]:
    """Every copy that an account holds or is to hold in open deals."""
    for key, deal in state.deals.items():
        if deal.is_open:
            for number, piece in enumerate(deal.pieces):
                for replica in piece.replicas:
                    if replica.provider == provider:
                        yield HeldReplica(key, deal, number, piece, replica)


def _task(held: HeldReplica, beacon: Callable[[Height], Digest | None]) -> PieceTask:
    deal, piece, replica = held.deal, held.piece, held.replica
    due = deal.challenge_height
    is_asked = replica.is_active and not replica.proved and deal.is_challenged(piece)
    drawn = beacon(due) if is_asked and due is not None else None
    return PieceTask(
        deal=held.key,
        piece=held.number,
        term=replica.term,
        root=piece.root,
        size=piece.size,
        status=replica.status.value,
        data_pieces=deal.data_pieces,
        total_pieces=len(deal.pieces),
        artifact_size=deal.size,
        leaving=piece.leaving and replica.is_active,  # its successor stays
        challenge=due if drawn is not None else None,
        beacon=drawn,
    )
