"""What is to be done so that deals keep their pieces: who takes a vacant one, whom to wait for no longer.

Pure decisions from what the ledger says of the pieces and the heartbeats of the providers. The deal that could lose
least goes first. A provider makes only so many pieces at a time, since making one keeps it busy for long; one that does
nothing with those it has keeps nobody else from theirs. A piece whose provider wants to leave gets a successor beside
it, and is never given up before.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

from cluster.control.piece_placement import Holders, Placement, Provider, choose_provider, with_holder


class PieceState(StrEnum):
    """As the ledger has it."""

    VACANT = "vacant"
    ASSIGNED = "assigned"
    """The provider fetches and seals."""
    SEALED = "sealed"
    """The replica waits to be checked."""
    ACTIVE = "active"


_COMING: Final = frozenset({PieceState.ASSIGNED, PieceState.SEALED})
_READABLE: Final = frozenset({PieceState.SEALED, PieceState.ACTIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """Who takes a piece over from a provider that leaves."""

    provider: bytes
    state: PieceState
    since_s: float
    """For how long it has been in this state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of a deal."""

    index: int
    size: int
    """Bytes of its replica."""
    state: PieceState = PieceState.VACANT
    provider: bytes | None = None
    since_s: float = 0.0
    """For how long it has been in this state."""
    is_leaving: bool = False
    successor: Successor | None = None
    avoided: frozenset[bytes] = frozenset()
    """Providers that did not deliver it: they get it again only if nobody else can take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A deal that is to be kept."""

    key: bytes
    data_pieces: int
    """So many pieces are enough to have the artifact back."""
    pieces: tuple[Piece, ...]
    collateral: int = 0
    """Stake that each piece locks."""
    passes: int = 1
    """How often sealing goes over a piece."""
    has_origin: bool = False
    """The artifact itself can be read elsewhere, so pieces can be made even if none is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairLimits:
    """How patient, and how many at a time."""

    repairs_each: int = 2
    """Pieces that one provider fetches, seals and has checked at the same time."""
    alive_s: float = 30.0
    """A provider that was heard of within this time is alive."""
    patience_s: float = 600.0
    """A provider that is silent, and any step beyond its expected work, is waited for so long."""
    least_bytes_s: float = 250_000.0
    """Bytes a second, over all passes, that a provider is expected to fetch and seal at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Let a provider take a vacant piece, or become the successor of one that leaves."""

    deal: bytes
    piece: int
    provider: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Wait no longer for the provider of an assigned or sealed piece."""

    deal: bytes
    piece: int
    provider: bytes


RepairAction: TypeAlias = Assign | Drop


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What to do now, the most urgent first, and by deal why something that is wanted is not possible."""

    actions: tuple[RepairAction, ...] = ()
    reasons: tuple[tuple[bytes, str], ...] = ()


def plan_repairs(deals: Iterable[Deal], providers: Iterable[Provider], limits: RepairLimits) -> RepairPlan:
    """The next steps for all deals. What was decided and is not on the chain yet may be decided again."""
    known = {each.key: each for each in providers}
    ordered = sorted(deals, key=lambda deal: (*_urgency(deal, known, limits), deal.key))
    drops = [drop for deal in ordered for drop in _overdue(deal, known, limits)]
    busy = Counter(
        key for deal in ordered for piece in deal.pieces for key, state, _ in _steps(piece) if state in _COMING
    )
    busy.subtract(drop.provider for drop in drops)
    assigns: list[Assign] = []
    reasons: list[tuple[bytes, str]] = []
    for deal in ordered:
        wanted = _wanted(deal)
        reason = _why_unreadable(deal, known, limits) if wanted else ""
        if not reason:
            idle = {key for key in known if busy[key] < limits.repairs_each}
            more, reason = _assign(deal, wanted, known, idle, limits)
            busy.update(each.provider for each in more)
            assigns += more
            known = _with_less_free(known, deal, more)
        if reason:
            reasons.append((deal.key, reason))
    return RepairPlan(actions=(*drops, *assigns), reasons=tuple(reasons))


def remaining_redundancy(deal: Deal, providers: Mapping[bytes, Provider], limits: RepairLimits) -> int:
    """How many more active pieces may be lost before the artifact is; negative when it cannot be read now."""
    active = [each for each in deal.pieces if each.state is PieceState.ACTIVE]
    return sum(_is_alive(each.provider, providers, limits) for each in active) - deal.data_pieces


def _urgency(deal: Deal, providers: Mapping[bytes, Provider], limits: RepairLimits) -> tuple[int, int]:
    return remaining_redundancy(deal, providers, limits), _count_coming(deal)


def _count_coming(deal: Deal) -> int:
    """Pieces that are being made."""
    own = sum(each.state in _COMING for each in deal.pieces)
    return own + sum(each.successor is not None and each.successor.state in _COMING for each in deal.pieces)


def _wanted(deal: Deal) -> list[Piece]:
    """Pieces that need a provider: vacant ones, then those whose provider leaves."""
    vacant = [each for each in deal.pieces if each.state is PieceState.VACANT]
    active = [each for each in deal.pieces if each.state is PieceState.ACTIVE]
    return [*vacant, *(each for each in active if each.is_leaving and each.successor is None)]


def _overdue(deal: Deal, providers: Mapping[bytes, Provider], limits: RepairLimits) -> list[Drop]:
    late: list[Drop] = []
    for piece in deal.pieces:
        for provider, state, since_s in _steps(piece):
            if state in _COMING and since_s > _allowed_s(deal, piece, state, providers.get(provider), limits):
                late.append(Drop(deal=deal.key, piece=piece.index, provider=provider))
    return late


def _steps(piece: Piece) -> list[tuple[bytes, PieceState, float]]:
    """Who is in which state of a piece, and for how long."""
    steps = [] if piece.provider is None else [(piece.provider, piece.state, piece.since_s)]
    if piece.successor is not None:
        steps.append((piece.successor.provider, piece.successor.state, piece.successor.since_s))
    return steps


def _allowed_s(deal: Deal, piece: Piece, state: PieceState, provider: Provider | None, limits: RepairLimits) -> float:
    """How long a step may take. Who was not heard of for that long does not work on it."""
    is_gone = provider is None or provider.silent_s > limits.patience_s
    if is_gone or state is PieceState.SEALED:
        return limits.patience_s
    return limits.patience_s + piece.size * deal.passes / limits.least_bytes_s


def _why_unreadable(deal: Deal, providers: Mapping[bytes, Provider], limits: RepairLimits) -> str:
    """Why no piece can be made now; empty if enough can be read."""
    if deal.has_origin:
        return ""
    kept = [each for each in deal.pieces if each.state in _READABLE]
    alive = [each for each in kept if _is_alive(each.provider, providers, limits)]
    needed = deal.data_pieces
    if len(alive) >= needed:
        return ""
    if len(kept) >= needed:
        return f"{needed} pieces are needed, {len(alive)} can be read now: waiting for silent providers"
    return f"lost: {needed} pieces are needed, {len(kept)} are left"


def _assign(
    deal: Deal,
    wanted: Sequence[Piece],
    providers: Mapping[bytes, Provider],
    idle: AbstractSet[bytes],
    limits: RepairLimits,
) -> tuple[list[Assign], str]:
    """Providers for the pieces, and why not for all of them. A piece waits if all that could take it are busy."""
    holders = _holders(deal, providers)
    assigns: list[Assign] = []
    reason = ""
    for piece in wanted:
        best = _choose(deal, piece, providers.values(), holders, limits)
        chosen = _choose(deal, piece, [each for key, each in providers.items() if key in idle], holders, limits)
        if best.provider is None:
            reason = f"piece {piece.index}: {best.reason}"
        if best.provider is None or chosen.provider is None:
            continue
        if chosen.provider.node in holders.nodes and best.provider.node not in holders.nodes:
            continue  # two pieces on one machine only if no other could take one, now or later
        assigns.append(Assign(deal=deal.key, piece=piece.index, provider=chosen.provider.key))
        holders = with_holder(holders, chosen.provider)
    return assigns, reason


def _choose(
    deal: Deal, piece: Piece, providers: Iterable[Provider], holders: Holders, limits: RepairLimits
) -> Placement:
    return choose_provider(
        deal.key,
        piece.index,
        providers,
        holders,
        size_bytes=piece.size,
        alive_s=limits.alive_s,
        collateral=deal.collateral,
        avoided=piece.avoided,
    )


def _holders(deal: Deal, providers: Mapping[bytes, Provider]) -> Holders:
    keys = {key for piece in deal.pieces for key, _, _ in _steps(piece)}
    return Holders(keys=frozenset(keys), nodes=frozenset(providers[key].node for key in keys if key in providers))


def _with_less_free(
    providers: Mapping[bytes, Provider], deal: Deal, assigns: Iterable[Assign]
) -> dict[bytes, Provider]:
    """The providers after these assignments."""
    sizes = {piece.index: piece.size for piece in deal.pieces}
    changed = dict(providers)
    for each in assigns:
        provider = changed[each.provider]
        changed[each.provider] = replace(
            provider,
            free_bytes=provider.free_bytes - sizes[each.piece],
            free_stake=provider.free_stake - deal.collateral,
        )
    return changed


def _is_alive(key: bytes | None, providers: Mapping[bytes, Provider], limits: RepairLimits) -> bool:
    return key is not None and key in providers and providers[key].silent_s <= limits.alive_s
