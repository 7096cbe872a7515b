"""Amounts are exact: every number of millionths has one shortest text, and no text is rounded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.credits import format_credits, parse_credits
from cluster.errors import UsageError
from consensus.primitives.integers import MAX_UINT63, Credits


@settings(deadline=None, max_examples=200)
@given(st.integers(0, MAX_UINT63))
def test_text_and_back_is_the_same_amount(units: int) -> None:
    assert parse_credits(format_credits(Credits(units))) == units


@pytest.mark.parametrize(
    ("text", "units"),
    [("0", 0), ("1", 1_000_000), ("0.000001", 1), ("12.5", 12_500_000), (" 7.10 ", 7_100_000), ("007", 7_000_000)],
)
def test_reads_decimal_text(text: str, units: int) -> None:
    assert parse_credits(text) == units


@pytest.mark.parametrize(("units", "text"), [(0, "0"), (1, "0.000001"), (10_000_000, "10"), (1_200_000, "1.2")])
def test_writes_the_shortest_text(units: int, text: str) -> None:
    assert format_credits(Credits(units)) == text


@pytest.mark.parametrize(
    "text", ["", "-1", "1e3", "1.0000001", "1.", ".5", "1,5", "nan", "0x10", "\u0661", "9223372036855", "9" * 30]
)
def test_refuses_what_is_no_exact_amount(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_credits(text)
    assert caught.value.code == "amount"
