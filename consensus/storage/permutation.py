"""One pass of the seal over consecutive blocks, forwards and backwards.

The permutation of Lenstra and Wesolowski's sloth ("A random zoo", 2015): a block is a little-endian number below the
prime 2^512 - 569. It becomes the square root of the one of +x and -x that is a square; of the two roots the even one
says that it was +x, the odd one -x. A root takes some five hundred squarings one after another, its way back takes one.
Numbers from the prime upwards stay as they are. Each block is mixed with the sealed one before it, so that a pass is
one long chain of roots, while going back needs only the neighbour. It is mixed with a key as well: a key at the start
of the chain alone would be felt in the first block only when going back, and a copy sealed for another would pass.

All blocks of a chunk go through here as one big number: the work in Python stays small beside the arithmetic.
"""

from typing import Final

from gmpy2 import mpz, pack, powmod, unpack

from consensus.storage.sectors import BLOCK_BYTES

_BITS: Final = 8 * BLOCK_BYTES
_PRIME: Final = mpz(2) ** _BITS - 569
_ROOT_EXPONENT: Final = (_PRIME + 1) // 4
"""x to this power is a square root of x or of -x, as the prime is 3 modulo 4."""


def seal_blocks(blocks: bytes, previous: bytes, key: bytes) -> bytes:
    """One pass forwards: each block becomes the permutation of itself XOR `key` XOR the sealed one before it.

    `previous` is the sealed block before the first.

    Raises:
        ValueError: not whole blocks.
    """
    before, mask, sealed = _number(previous), _number(key), []
    for block in _split(_number(blocks), _block_count(blocks)):
        before = _root(block ^ before ^ mask)
        sealed.append(before)
    return _bytes(pack(sealed, _BITS), len(sealed))


def unseal_blocks(blocks: bytes, previous: bytes, key: bytes) -> bytes:
    """The inverse of `seal_blocks` with the same `previous` and `key`. Raises as it."""
    return unseal_window(previous + blocks, 1, key)


def unseal_window(blocks: bytes, passes: int, key: bytes) -> bytes:
    """`passes` passes backwards over consecutive blocks. Each pass uses up the first of those it has.

    Returns `passes` blocks less than it was given: what these were before the passes.

    Raises:
        ValueError: not whole blocks, or no more than `passes` of them.
    """
    count = _block_count(blocks)
    if count <= passes:
        raise ValueError(f"{passes} passes back need more than {count} blocks")
    number, masks = _number(blocks), _number(key * count)
    for _ in range(passes):
        count, masks = count - 1, masks >> _BITS
        squares = [_square(root) for root in _split(number >> _BITS, count)]
        number = pack(squares, _BITS) ^ masks ^ (number & ((mpz(1) << count * _BITS) - 1))
    return _bytes(number, count)


def _root(number: mpz) -> mpz:
    if number >= _PRIME:
        return number
    root = powmod(number, _ROOT_EXPONENT, _PRIME)
    is_square = root * root % _PRIME == number
    return root if root.is_even() == is_square else _PRIME - root


def _square(root: mpz) -> mpz:
    if root >= _PRIME:
        return root
    square = root * root % _PRIME
    return square if root.is_even() else _PRIME - square


def _block_count(blocks: bytes) -> int:
    count, rest = divmod(len(blocks), BLOCK_BYTES)
    if rest:
        raise ValueError(f"{len(blocks)} bytes are not whole blocks")
    return count


def _number(blocks: bytes) -> mpz:
    return mpz.from_bytes(blocks, "little")


def _split(number: mpz, count: int) -> list[mpz]:
    """The blocks of a big number; those above its highest bit are zero."""
    blocks: list[mpz] = unpack(number, _BITS)
    return blocks + [mpz(0)] * (count - len(blocks))


def _bytes(number: mpz, count: int) -> bytes:
    return bytes(number.to_bytes(count * BLOCK_BYTES, "little"))
