"""On which node a piece of a deal is kept: weighted rendezvous hashing, without any state.

Every node draws a number for a deal and a piece, larger on average the more room it has; the largest takes the piece.
So a node gets pieces in proportion to its room, a new node takes pieces only onto itself, and when one goes only its
own pieces move. Two pieces of a deal come to one node only when there is no other usable node without one: what a
machine loses, it loses alone. This is the same rule that the ledger applies to an assignment.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from consensus.primitives.digest import sha256
from consensus.primitives.integers import MAX_UINT63, UNITS_PER_CREDIT

_DRAW_BITS: Final = 53
"""A double holds so many bits exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An account that keeps pieces, and what is known of its machine now."""

    key: bytes
    """Its public key."""
    node: str
    free_bytes: int
    """Room that is neither used nor promised."""
    free_stake: int = MAX_UINT63
    """Stake that is not locked, in credits' units."""
    silent_s: float = 0.0
    """Since it was heard of."""
    is_usable: bool = True
    """The ledger would let it take another piece, but for room and stake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The provider for a piece, or, with None, why there is none."""

    provider: Provider | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Who has pieces of a deal already, in whatever state."""

    keys: frozenset[bytes] = field(default_factory=frozenset)
    nodes: frozenset[str] = field(default_factory=frozenset)


def choose_provider(
    deal: bytes,
    piece: int,
    providers: Iterable[Provider],
    holders: Holders,
    *,
    size_bytes: int,
    alive_s: float,
    collateral: int = 0,
    avoided: Collection[bytes] = (),
) -> Placement:
    """Who takes a replica of `size_bytes` bytes for this collateral, of those heard of within `alive_s` seconds.

    A second piece goes to a node only if no usable provider is on a node without one, not even a silent one. An
    `avoided` provider takes the piece only if nobody else could.
    """
    fitting = [each for each in providers if _fits(each, size_bytes, collateral) and each.key not in holders.keys]
    if not fitting:
        stake = f" and {collateral / UNITS_PER_CREDIT:g} credits of stake" if collateral else ""
        return Placement(reason=f"no provider without a piece of this deal has {size_bytes} bytes{stake} free")
    candidates = [each for each in fitting if each.node not in holders.nodes] or fitting
    living = [each for each in candidates if each.silent_s <= alive_s]
    if not living:
        silent = ", ".join(sorted({each.node for each in candidates}))
        return Placement(reason=f"those that could take it are silent: {silent}")
    preferred = [each for each in living if each.key not in avoided] or living
    return Placement(provider=rank_providers(deal, piece, preferred)[0])


def rank_providers(deal: bytes, piece: int, providers: Collection[Provider]) -> tuple[Provider, ...]:
    """All providers, the one that takes the piece in front. A node's weight is that of its providers together."""
    weights: dict[str, int] = {}
    for each in providers:
        weights[each.node] = weights.get(each.node, 0) + each.free_bytes
    nodes = {node: _draw(deal, piece, node.encode(), weight) for node, weight in weights.items()}
    own = {each.key: _draw(deal, piece, each.key, each.free_bytes) for each in providers}
    return tuple(sorted(providers, key=lambda each: (-nodes[each.node], each.node, -own[each.key], each.key)))


def place_pieces(
    deal: bytes,
    sizes: Mapping[int, int],
    providers: Iterable[Provider],
    holders: Holders | None = None,
    *,
    alive_s: float = math.inf,
) -> dict[int, Placement]:
    """Who takes each of several pieces, given with their sizes in bytes, beside those that have some already."""
    known = tuple(providers)
    taken = holders or Holders()
    placed: dict[int, Placement] = {}
    for piece, size_bytes in sorted(sizes.items()):
        placed[piece] = choose_provider(deal, piece, known, taken, size_bytes=size_bytes, alive_s=alive_s)
        taken = with_holder(taken, placed[piece].provider)
    return placed


def with_holder(holders: Holders, provider: Provider | None) -> Holders:
    """The holders, and one more."""
    if provider is None:
        return holders
    return Holders(keys=holders.keys | {provider.key}, nodes=holders.nodes | {provider.node})


def _fits(provider: Provider, size_bytes: int, collateral: int) -> bool:
    return provider.is_usable and provider.free_bytes >= size_bytes and provider.free_stake >= collateral


def _draw(deal: bytes, piece: int, name: bytes, weight: int) -> float:
    """A positive number; of several, each is the largest with a chance in proportion to its weight."""
    digest = sha256("pouw/piece-placement/1", deal, piece.to_bytes(8, "big"), name)
    share = (int.from_bytes(digest[:8], "big") >> (64 - _DRAW_BITS)) + 0.5
    return -max(weight, 1) / math.log(share / 2**_DRAW_BITS)
