"""Pieces go to nodes in proportion to room, never two of a deal to one node in vain, and move as little as possible."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cluster.control.piece_placement import Holders, Placement, Provider, choose_provider, place_pieces, rank_providers

GIB = 1 << 30
DEAL = b"d" * 32


def provider(number: int, *, node: str | None = None, free: int = GIB, silent_s: float = 0.0) -> Provider:
    return Provider(key=b"p%03d" % number, node=node or f"n{number}", free_bytes=free, silent_s=silent_s)


def choose(providers: list[Provider], holders: Holders | None = None, piece: int = 0, *, size: int = 1) -> Placement:
    return choose_provider(DEAL, piece, providers, holders or Holders(), size_bytes=size, alive_s=30.0)


SITES = st.lists(
    st.builds(provider, st.integers(0, 999), node=st.sampled_from("abcdefgh"), free=st.integers(1, 4) | st.just(GIB)),
    max_size=14,
    unique_by=lambda each: each.key,
)


def test_placement_is_the_same_for_everybody() -> None:
    nodes = [provider(number) for number in range(5)]
    assert [choose(nodes, piece=piece).provider for piece in range(9)] == [
        choose(nodes[::-1], piece=piece).provider for piece in range(9)
    ]
    first = [rank_providers(DEAL, piece, nodes)[0].node for piece in range(8)]
    assert first == ["n2", "n3", "n2", "n1", "n1", "n4", "n3", "n3"]


@given(sites=SITES, pieces=st.integers(1, 8))
def test_no_node_has_two_pieces_while_another_has_none(sites: list[Provider], pieces: int) -> None:
    placed = place_pieces(DEAL, dict.fromkeys(range(pieces), 1), sites)
    chosen = [each.provider for each in placed.values() if each.provider is not None]
    assert len(chosen) == min(pieces, len(sites))
    assert len({each.key for each in chosen}) == len(chosen)
    assert len({each.node for each in chosen}) == min(len(chosen), len({each.node for each in sites}))
    assert all(each.reason for each in placed.values() if each.provider is None)


@given(sites=SITES.filter(bool), new=st.integers(1000, 1999), piece=st.integers(0, 50))
def test_a_new_node_takes_pieces_only_onto_itself(sites: list[Provider], new: int, piece: int) -> None:
    before = choose(sites, piece=piece).provider
    after = choose([*sites, provider(new)], piece=piece).provider
    assert after in {before, provider(new)}


@given(sites=SITES.filter(lambda sites: len(sites) > 1), piece=st.integers(0, 50), data=st.data())
def test_only_the_pieces_of_a_lost_node_move(sites: list[Provider], piece: int, data: st.DataObject) -> None:
    lost = data.draw(st.sampled_from(sites)).node
    left = [each for each in sites if each.node != lost]
    before = choose(sites, piece=piece).provider
    assert before is not None
    if before.node != lost:
        assert choose(left, piece=piece).provider == before


@given(sites=SITES.filter(bool), piece=st.integers(0, 50), more=st.integers(1, GIB))
def test_more_room_never_drives_a_piece_away(sites: list[Provider], piece: int, more: int) -> None:
    before = choose(sites, piece=piece).provider
    assert before is not None
    grown = replace(before, free_bytes=before.free_bytes + more)
    assert choose([grown if each == before else each for each in sites], piece=piece).provider == grown


def test_a_lost_node_of_a_placed_deal_is_replaced_by_one_and_no_other_piece_moves() -> None:
    """Pieces with a holder stay where they are; each vacant one goes to a node that has none."""
    sites = [provider(number) for number in range(12)]
    placed = {piece: each.provider for piece, each in place_pieces(DEAL, dict.fromkeys(range(6), 1), sites).items()}
    kept = [each for piece, each in placed.items() if piece != 2 and each is not None]
    holders = Holders(keys=frozenset(each.key for each in kept), nodes=frozenset(each.node for each in kept))
    left = [each for each in sites if each != placed[2]]
    replacement = place_pieces(DEAL, {2: 1}, left, holders)[2].provider
    assert replacement is not None
    assert replacement.node not in holders.nodes


def test_pieces_are_spread_in_proportion_to_room() -> None:
    sites = [provider(1, free=GIB), provider(2, free=2 * GIB), provider(3, free=3 * GIB), provider(4, free=6 * GIB)]
    counts = Counter(rank_providers(b"%d" % deal, deal % 7, sites)[0].node for deal in range(6000))
    shares = [counts[each.node] / 6000 for each in sites]
    assert all(abs(share - expected / 12) < 0.02 for share, expected in zip(shares, (1, 2, 3, 6), strict=True))


def test_providers_of_a_node_share_its_pieces() -> None:
    sites = [provider(1, node="a"), provider(2, node="a"), provider(3, node="b")]
    counts = Counter(rank_providers(b"%d" % deal, 0, sites)[0].key for deal in range(3000))
    assert all(900 < count < 1100 for count in counts.values())


def test_who_has_no_room_has_a_piece_or_is_not_usable_is_passed_over() -> None:
    busy, full, out, free = provider(1), provider(2, free=9), replace(provider(3), is_usable=False), provider(4)
    holders = Holders(keys=frozenset({busy.key}), nodes=frozenset({busy.node}))
    assert choose([busy, full, out, free], holders, size=10).provider == free
    none = choose([busy, full, out], holders, size=10)
    assert (none.provider, none.reason) == (None, "no provider without a piece of this deal has 10 bytes free")


def test_a_silent_provider_is_waited_for_before_a_node_gets_two_pieces() -> None:
    holders = Holders(keys=frozenset({b"p001"}), nodes=frozenset({"n1"}))
    sites = [provider(1), provider(2, node="n1"), provider(3, silent_s=31)]
    assert choose(sites, holders).reason == "those that could take it are silent: n3"
    assert choose(sites[:2], holders).provider == sites[1]


def test_who_failed_gets_a_piece_again_only_if_nobody_else_can_take_it() -> None:
    sites = [provider(number) for number in range(3)]
    first, second, third = rank_providers(DEAL, 0, sites)
    arguments = {"size_bytes": 1, "alive_s": 30.0}
    assert choose_provider(DEAL, 0, sites, Holders(), avoided={first.key}, **arguments).provider == second
    assert choose_provider(DEAL, 0, [first], Holders(), avoided={first.key}, **arguments).provider == first
    holders = Holders(nodes=frozenset({second.node, third.node}))
    assert choose_provider(DEAL, 0, sites, holders, avoided={first.key}, **arguments).provider == first
