"""Losses and metrics as integers: records carry the bits of a float32, so that no float is ever encoded or signed."""

import struct


def float_bits(value: float) -> int:
    """The bits of a number as float32. Raises OverflowError: too large for one."""
    return int.from_bytes(struct.pack(">f", value), "big")


def bits_value(bits: int) -> float:
    """The number that these bits of a float32 stand for."""
    return float(struct.unpack(">f", bits.to_bytes(4, "big"))[0])
