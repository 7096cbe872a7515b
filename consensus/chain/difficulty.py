"""How hard the next block is: relative ASERT in integers (Toomim and Lundeberg, aserti3-2d, 2020).

The target moves by 2**((time trained - interval * blocks mined) / half life). Time counts if a block brought round
commits or was mined, so a chain that waits for work does not become easy meanwhile, and an authority block between two
mined ones does not hide how long the second one took.
"""

from typing import Final

from consensus.ledger.rewards import MINED
from consensus.params import ConsensusParams
from consensus.primitives.integers import Target, TimeMs
from consensus.primitives.merkle import EMPTY_ROOT
from consensus.records.block import Header

_FRACTION_BITS: Final = 16
_ONE: Final = 1 << _FRACTION_BITS
_WIDEST_SHIFT: Final = 256
"""A 256-bit target shifted by more than this is over or under every bound, so larger exponents need no work."""


def lateness_ms(params: ConsensusParams, header: Header, parent_time_ms: TimeMs) -> int:
    """How much later than the interval asks for this block leaves the chain, in milliseconds; negative if early."""
    took_ms = header.time_ms - parent_time_ms
    if header.mechanism in MINED:
        return took_ms - params.block_interval_ms
    return took_ms if header.history_root != EMPTY_ROOT else 0


def next_target(params: ConsensusParams, target: Target, late_ms: int) -> Target:
    """The target of the block after one that had `target` and came `late_ms` late."""
    exponent = late_ms * _ONE // params.difficulty_half_life_ms
    bounded = max(-_WIDEST_SHIFT * _ONE, min(exponent, _WIDEST_SHIFT * _ONE))
    moved = _times_power_of_two(int.from_bytes(target, "big"), bounded)
    easiest = int.from_bytes(params.easiest_target, "big")
    return Target(max(1, min(moved, easiest)).to_bytes(32, "big"))


def _times_power_of_two(value: int, exponent: int) -> int:
    """`value` * 2**(exponent / 65536), rounded down. The cubic is within 0.013 % of the power between 0 and 1."""
    shift, x = exponent >> _FRACTION_BITS, exponent & (_ONE - 1)
    cubic = (195_766_423_245_049 * x + 971_821_376 * x**2 + 5_127 * x**3 + (1 << 47)) >> 48
    product = value * (_ONE + cubic)
    shift -= _FRACTION_BITS
    return product << shift if shift >= 0 else product >> -shift
