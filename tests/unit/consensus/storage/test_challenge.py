"""Which sectors are asked for: fixed by the beacon, fair, different for everybody."""

import math
from collections import Counter

import pytest

from consensus.storage.challenge import draw_chunks, draw_sectors
from tests.kit.genesis import public_key
from tests.kit.replicas import DEAL, PROVIDER
from tests.kit.work import word


def draw(number: int = 0, *, sectors: int = 1_000_000, count: int = 16) -> tuple[int, ...]:
    return draw_sectors(word("beacon", number), DEAL, 0, PROVIDER, sectors, count)


def test_draws_distinct_sectors_in_order() -> None:
    for number in range(50):
        drawn = draw(number, sectors=40)
        assert list(drawn) == sorted(set(drawn))
        assert len(drawn) == 16
        assert 0 <= drawn[0] <= drawn[-1] < 40


def test_the_same_draw_for_everybody() -> None:
    assert draw() == draw()


@pytest.mark.parametrize("sectors", [1, 15, 16])
def test_asks_for_all_sectors_where_there_are_no_more(sectors: int) -> None:
    assert draw(sectors=sectors) == tuple(range(sectors))


def test_all_but_one_can_be_drawn() -> None:
    assert len(draw(sectors=17)) == 16


def test_beacon_deal_piece_provider_and_purpose_all_change_the_draw() -> None:
    beacon, other = word("beacon"), word("other")
    draws = {
        draw_sectors(beacon, DEAL, 0, PROVIDER, 10**6, 16),
        draw_sectors(other, DEAL, 0, PROVIDER, 10**6, 16),
        draw_sectors(beacon, other, 0, PROVIDER, 10**6, 16),
        draw_sectors(beacon, DEAL, 1, PROVIDER, 10**6, 16),
        draw_sectors(beacon, DEAL, 0, public_key("miner"), 10**6, 16),
        draw_chunks(beacon, DEAL, 0, PROVIDER, 10**6, 16),
    }
    assert len(draws) == 6


def test_no_sector_is_asked_for_less_than_others() -> None:
    """Within five standard deviations of a fair draw, for a number that does not divide a power of two."""
    sectors, count, trials = 11, 3, 3000
    found = Counter(index for number in range(trials) for index in draw(number, sectors=sectors, count=count))
    share = count / sectors
    spread = 5 * math.sqrt(trials * share * (1 - share))
    assert all(abs(found[index] - trials * share) <= spread for index in range(sectors))


def test_pairs_are_as_likely_as_each_other() -> None:
    sectors, trials = 5, 3000
    found = Counter(draw(number, sectors=sectors, count=2) for number in range(trials))
    share = 1 / math.comb(sectors, 2)
    spread = 5 * math.sqrt(trials * share * (1 - share))
    assert len(found) == 10
    assert all(abs(times - trials * share) <= spread for times in found.values())
