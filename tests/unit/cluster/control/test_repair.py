"""The deal that could lose least is repaired first; who does not deliver is dropped; nobody leaves unreplaced."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control.piece_placement import Provider
from cluster.control.repair import (
    Assign,
    Deal,
    Drop,
    Piece,
    PieceState,
    RepairLimits,
    RepairPlan,
    Successor,
    plan_repairs,
    remaining_redundancy,
)

GIB = 1 << 30
LIMITS = RepairLimits(repairs_each=2, alive_s=30, patience_s=100, least_bytes_s=1000)
STATES = {"v": PieceState.VACANT, "a": PieceState.ASSIGNED, "s": PieceState.SEALED, "+": PieceState.ACTIVE}


def providers(count: int, **silent_s: float) -> list[Provider]:
    return [
        Provider(key=b"p%d" % number, node=f"n{number}", free_bytes=GIB, silent_s=silent_s.get(f"p{number}", 0))
        for number in range(count)
    ]


def deal(states: str, k: int = 1, *, name: bytes = b"deal", size: int = 1000, has_origin: bool = False) -> Deal:
    """Piece i, if it is not vacant, is with provider i."""
    pieces = tuple(
        Piece(index=index, size=size, state=STATES[state], provider=None if state == "v" else b"p%d" % index)
        for index, state in enumerate(states)
    )
    return Deal(key=name, data_pieces=k, pieces=pieces, has_origin=has_origin)


def with_piece(one: Deal, index: int, **changes: object) -> Deal:
    return replace(one, pieces=tuple(replace(each, **changes) if each.index == index else each for each in one.pieces))


def plan(*deals: Deal, of: list[Provider], limits: RepairLimits = LIMITS) -> RepairPlan:
    return plan_repairs(deals, of, limits)


def test_nothing_is_done_for_whole_deals() -> None:
    assert plan(deal("+++"), deal("++as", 2, name=b"other"), of=providers(6)) == RepairPlan()


def test_vacant_pieces_go_to_nodes_without_one() -> None:
    done = plan(deal("++vv", 2), of=providers(4))
    assert Counter(type(each) for each in done.actions) == {Assign: 2}
    assert {(each.piece, each.provider) for each in done.actions} in (
        {(2, b"p2"), (3, b"p3")},
        {(2, b"p3"), (3, b"p2")},
    )


def test_least_redundancy_goes_first() -> None:
    deals = [deal("+++v", 1, name=b"two"), deal("+++v", 3, name=b"none"), deal("+++v", 2, name=b"one")]
    for order in (deals, deals[::-1]):
        done = plan(*order, of=providers(5), limits=replace(LIMITS, repairs_each=1))
        assert [each.deal for each in done.actions][:2] == [b"none", b"one"]


def test_a_silent_provider_counts_as_lost_for_the_order() -> None:
    site = providers(5, p0=31)
    one = deal("+++v", 2)
    assert remaining_redundancy(one, {each.key: each for each in site}, LIMITS) == 0
    assert remaining_redundancy(one, {each.key: each for each in providers(5)}, LIMITS) == 1


@pytest.mark.parametrize(("each", "expected"), [(1, 3), (2, 6), (3, 9)])
def test_a_provider_makes_only_so_many_pieces_at_a_time(each: int, expected: int) -> None:
    """Four providers; the first has a piece of every deal, so three can take one of each."""
    deals = [deal("+vvv", 1, name=b"deal %d" % number) for number in range(5)]
    done = plan(*deals, of=providers(4), limits=replace(LIMITS, repairs_each=each))
    assert len(done.actions) == expected
    assert done.reasons == ()


def test_idle_providers_keep_nobody_else_from_a_piece() -> None:
    stuck = [deal("+aaa", 1, name=b"stuck %d" % number) for number in range(2)]
    assert [each.provider for each in plan(*stuck, deal("+v", 1), of=providers(5)).actions] == [b"p4"]


def test_a_piece_waits_for_a_busy_machine_rather_than_share_one() -> None:
    """The ledger would refuse the second piece on a machine while another has none."""
    site = [*providers(2), replace(providers(3)[2], node="n0")]
    taken = deal("+v", 1)
    assert plan(taken, of=site).actions[0].provider == b"p1"
    full = [with_piece(deal("+a", 1, name=b"full %d" % number), 1, since_s=1) for number in range(2)]
    assert plan(*full, taken, of=site).actions == ()


def test_providers_are_not_given_more_than_their_room() -> None:
    site = [Provider(key=b"p0", node="n0", free_bytes=GIB), Provider(key=b"p9", node="n9", free_bytes=1500)]
    done = plan(deal("+v", 1, name=b"a"), deal("+v", 1, name=b"b"), of=site)
    assert done.actions == (Assign(deal=b"a", piece=1, provider=b"p9"),)
    assert done.reasons == ((b"b", "piece 1: no provider without a piece of this deal has 1000 bytes free"),)


def test_providers_are_not_given_more_than_their_stake() -> None:
    site = [
        Provider(key=b"p0", node="n0", free_bytes=GIB),
        Provider(key=b"p9", node="n9", free_bytes=GIB, free_stake=15_000_000),
    ]
    deals = [replace(deal("+v", name=name), collateral=10_000_000) for name in (b"a", b"b")]
    done = plan(*deals, of=site)
    assert done.actions == (Assign(deal=b"a", piece=1, provider=b"p9"),)
    assert done.reasons[0][1].endswith("has 1000 bytes and 10 credits of stake free")


def test_who_leaves_gets_a_successor_after_the_vacant_pieces() -> None:
    leaving = with_piece(deal("++v"), 0, is_leaving=True)
    done = plan(leaving, of=providers(5))
    assert [each.piece for each in done.actions] == [2, 0]
    assert all(isinstance(each, Assign) for each in done.actions)
    assert len({each.provider for each in done.actions} | {b"p0", b"p1"}) == 4
    followed = with_piece(leaving, 0, successor=Successor(provider=b"p4", state=PieceState.ASSIGNED, since_s=1))
    assert [each.piece for each in plan(followed, of=providers(5)).actions] == [2]


def test_a_leaver_without_a_possible_successor_stays_and_the_reason_is_said() -> None:
    done = plan(with_piece(deal("++"), 0, is_leaving=True), of=providers(2))
    assert done.actions == ()
    assert done.reasons[0][1].startswith("piece 0: no provider")


def test_late_provider_is_dropped_after_the_time_its_work_may_take() -> None:
    """1000 bytes at 1000 bytes a second, twice, and 100 seconds of patience."""
    late = replace(deal("+a"), passes=2)
    assert plan(with_piece(late, 1, since_s=102), of=providers(3)).actions == ()
    assert plan(with_piece(late, 1, since_s=103), of=providers(3)).actions == (
        Drop(deal=b"deal", piece=1, provider=b"p1"),
    )


@pytest.mark.parametrize(("state", "silent_s", "is_dropped"), [("s", 0, True), ("a", 0, False), ("a", 101, True)])
def test_checks_and_silent_providers_are_waited_for_less_long(state: str, silent_s: float, is_dropped: bool) -> None:
    one = with_piece(deal(f"+{state}"), 1, since_s=100.5)
    assert bool(plan(one, of=providers(3, p1=silent_s)).actions) is is_dropped


def test_active_pieces_are_never_dropped() -> None:
    one = with_piece(deal("++"), 1, since_s=1e9)
    assert plan(one, of=providers(2, p1=1e9)).actions == ()


def test_late_successor_is_dropped_and_the_leaver_stays() -> None:
    late = Successor(provider=b"p3", state=PieceState.ASSIGNED, since_s=500)
    one = with_piece(deal("++"), 0, is_leaving=True, successor=late)
    assert plan(one, of=providers(4)).actions == (Drop(deal=b"deal", piece=0, provider=b"p3"),)


def test_a_drop_makes_room_for_another_repair() -> None:
    limits = replace(LIMITS, repairs_each=1)
    late = with_piece(deal("+a", name=b"late"), 1, since_s=1e6)
    done = plan(late, deal("+v"), of=providers(2), limits=limits)
    assert done.actions == (
        Drop(deal=b"late", piece=1, provider=b"p1"),
        Assign(deal=b"deal", piece=1, provider=b"p1"),
    )


def test_who_failed_is_avoided() -> None:
    first = plan(deal("+v"), of=providers(3)).actions[0].provider
    other = plan(with_piece(deal("+v"), 1, avoided=frozenset({first})), of=providers(3)).actions[0].provider
    assert other != first


def test_reasons_say_what_is_missing() -> None:
    assert plan(deal("+vv", 2), of=providers(5)).reasons == ((b"deal", "lost: 2 pieces are needed, 1 are left"),)
    silent = plan(deal("++v", 2), of=providers(5, p0=60))
    assert silent.reasons == ((b"deal", "2 pieces are needed, 1 can be read now: waiting for silent providers"),)
    assert silent.actions == ()
    assert plan(deal("+v"), of=providers(1)).reasons[0][1].startswith("piece 1: no provider")
    assert plan(deal("vv", 2, has_origin=True), of=providers(5)).reasons == ()
    assert len(plan(deal("vv", 2, has_origin=True), of=providers(5)).actions) == 2


@st.composite
def sites(draw: st.DrawFn) -> tuple[list[Deal], list[Provider]]:
    known = [
        Provider(
            key=b"p%d" % number,
            node=draw(st.sampled_from("abcdef")),
            free_bytes=draw(st.integers(0, 4000)),
            silent_s=draw(st.sampled_from([0.0, 50.0, 500.0])),
            is_usable=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 8)))
    ]
    deals = []
    for number in range(draw(st.integers(0, 4))):
        states = draw(st.lists(st.sampled_from("vas+"), min_size=1, max_size=6))
        one = deal("".join(states), draw(st.integers(1, len(states))), name=b"%d" % number)
        one = replace(one, has_origin=draw(st.booleans()))
        for piece in one.pieces:
            one = with_piece(
                one, piece.index, since_s=draw(st.sampled_from([0.0, 1e4])), is_leaving=draw(st.booleans())
            )
        deals.append(one)
    return deals, known


@given(site=sites(), most=st.integers(0, 3))
def test_every_plan_keeps_the_rules(site: tuple[list[Deal], list[Provider]], most: int) -> None:
    deals, known = site
    limits = replace(LIMITS, repairs_each=most)
    done = plan_repairs(deals, known, limits)
    assert done == plan_repairs(deals[::-1], known[::-1], limits)
    by_key, by_name = {each.key: each for each in known}, {each.key: each for each in deals}
    assigns = [each for each in done.actions if isinstance(each, Assign)]
    drops = [each for each in done.actions if isinstance(each, Drop)]
    coming = Counter(
        each.provider for one in deals for each in one.pieces if each.state in {PieceState.ASSIGNED, PieceState.SEALED}
    )
    coming.subtract(each.provider for each in drops)
    for provider, count in Counter(each.provider for each in assigns).items():
        assert coming[provider] + count <= most
    room = Counter({each.key: each.free_bytes for each in known})
    for each in assigns:
        piece = by_name[each.deal].pieces[each.piece]
        provider = by_key[each.provider]
        assert piece.state is PieceState.VACANT or piece.is_leaving
        assert provider.is_usable
        assert provider.silent_s <= limits.alive_s
        assert each.provider not in {other.provider for other in by_name[each.deal].pieces}
        room[each.provider] -= piece.size
    assert min(room.values(), default=0) >= 0
    assert len({(each.deal, each.provider) for each in assigns}) == len(assigns)
    assert len({(each.deal, each.piece) for each in assigns}) == len(assigns)
    for each in drops:
        assert by_name[each.deal].pieces[each.piece].state in {PieceState.ASSIGNED, PieceState.SEALED}
    redundancy = [remaining_redundancy(by_name[each.deal], by_key, limits) for each in assigns]
    assert redundancy == sorted(redundancy)
