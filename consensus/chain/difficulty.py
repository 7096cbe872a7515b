"""How hard the next block is: relative ASERT in integers (Toomim and Lundeberg, aserti3-2d, 2020).

Each mined block moves the target by 2**((solve time - interval) / half life). Only mined blocks count, so a chain that
waits for work does not become easy meanwhile.
"""

from typing import Final

from consensus.params import ConsensusParams
from consensus.primitives.integers import Target, TimeMs

_FRACTION_BITS: Final = 16
_ONE: Final = 1 << _FRACTION_BITS
_WIDEST_SHIFT: Final = 256
"""A 256-bit target shifted by more than this is over or under every bound, so larger exponents need no work."""


def next_target(params: ConsensusParams, parent_target: Target, parent_solve_ms: TimeMs | None) -> Target:
    """The target of a block whose parent took `parent_solve_ms` to mine; None if the parent was not mined."""
    if parent_solve_ms is None:
        return parent_target
    late_ms = parent_solve_ms - params.block_interval_ms
    exponent = late_ms * _ONE // params.difficulty_half_life_ms
    bounded = max(-_WIDEST_SHIFT * _ONE, min(exponent, _WIDEST_SHIFT * _ONE))
    moved = _times_power_of_two(int.from_bytes(parent_target, "big"), bounded)
    easiest = int.from_bytes(params.easiest_target, "big")
    return Target(max(1, min(moved, easiest)).to_bytes(32, "big"))


def _times_power_of_two(value: int, exponent: int) -> int:
    """`value` * 2**(exponent / 65536), rounded down. The cubic is within 0.013 % of the power between 0 and 1."""
    shift, x = exponent >> _FRACTION_BITS, exponent & (_ONE - 1)
    cubic = (195_766_423_245_049 * x + 971_821_376 * x**2 + 5_127 * x**3 + (1 << 47)) >> 48
    product = value * (_ONE + cubic)
    shift -= _FRACTION_BITS
    return product << shift if shift >= 0 else product >> -shift
