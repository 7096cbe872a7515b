"""The mechanisms a block may name."""

import pytest

from consensus.errors import InvalidBlockError, Reject
from consensus.ledger.rewards import MINED
from consensus.mechanisms.registry import MECHANISMS, find_mechanism


@pytest.mark.parametrize("name", ["pouw", "authority"])
def test_finds_a_mechanism_by_its_name(name: str) -> None:
    assert find_mechanism(name).name == name


def test_refuses_a_name_that_is_not_registered() -> None:
    with pytest.raises(InvalidBlockError) as caught:
        find_mechanism("coin-toss")
    assert caught.value.code is Reject.MECHANISM


def test_every_mined_mechanism_is_registered() -> None:
    assert set(MECHANISMS) >= MINED
