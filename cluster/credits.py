"""Credits as people write them: decimal text of whole credits, exact to the millionth. No float is ever involved."""

import re
from typing import Final

from cluster.errors import UsageError
from consensus.primitives.integers import MAX_UINT63, UNITS_PER_CREDIT, Credits

_PLACES: Final = 6
_AMOUNT: Final = re.compile(r"(?P<whole>[0-9]{1,13})(?:\.(?P<part>[0-9]{1,6}))?")


def parse_credits(text: str) -> Credits:
    """The amount in millionths, for example `12.5` -> 12_500_000.

    Raises:
        UsageError: not a non-negative decimal number with at most six places, or more than a ledger can hold.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text!r} is not an amount of credits",
            hint="write a decimal number with at most six places, such as 12.5",
            code="amount",
        )
    part = match["part"] or ""
    units = int(match["whole"]) * UNITS_PER_CREDIT + int(part.ljust(_PLACES, "0"))
    if units > MAX_UINT63:
        raise UsageError(f"{text} credits are more than a ledger can hold", code="amount")
    return Credits(units)


def format_credits(units: Credits) -> str:
    """The shortest decimal text, for example 12_500_000 -> `12.5`."""
    whole, part = divmod(units, UNITS_PER_CREDIT)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")
