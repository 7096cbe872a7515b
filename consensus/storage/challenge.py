"""Which sectors a challenge asks for, and which chunks a spot check: drawn from a beacon that nobody knew before.

Every choice of distinct numbers is as likely as any other. The draw depends on the provider, so two providers of one
deal are asked for different places.
"""

from typing import Final

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest, PublicKey

_CHALLENGE_TAG: Final = "pouw/storage-challenge/1"
_SPOT_CHECK_TAG: Final = "pouw/storage-spot-check/1"
_WORD_BYTES: Final = 8
_WORDS: Final = 1 << 8 * _WORD_BYTES


def draw_sectors(  # noqa: PLR0917  # what a challenge is about, from the whole to the part
    beacon: Digest, deal: Digest, piece: int, provider: PublicKey, sector_count: int, count: int
) -> tuple[int, ...]:
    """`count` distinct sectors of the `sector_count` of a replica, ascending; all of them if there are no more."""
    return _draw(_CHALLENGE_TAG, _seed(beacon, deal, piece, provider), sector_count, count)


def draw_chunks(  # noqa: PLR0917  # as above
    beacon: Digest, deal: Digest, piece: int, provider: PublicKey, chunk_count: int, count: int
) -> tuple[int, ...]:
    """`count` distinct chunks to open of a freshly sealed replica, ascending; all of them if there are no more."""
    return _draw(_SPOT_CHECK_TAG, _seed(beacon, deal, piece, provider), chunk_count, count)


def _seed(beacon: Digest, deal: Digest, piece: int, provider: PublicKey) -> tuple[bytes, ...]:
    return beacon, deal, piece.to_bytes(8, "big"), provider


def _draw(tag: str, seed: tuple[bytes, ...], choices: int, count: int) -> tuple[int, ...]:
    """Distinct numbers below `choices`. Words in the uneven rest above the last whole multiple are passed over."""
    if count >= choices:
        return tuple(range(choices))
    drawn: set[int] = set()
    fair_words, number = _WORDS - _WORDS % choices, 0
    while len(drawn) < count:
        block = sha256(tag, *seed, number.to_bytes(8, "big"))
        for start in range(0, len(block), _WORD_BYTES):
            word = int.from_bytes(block[start : start + _WORD_BYTES], "big")
            if word < fair_words and len(drawn) < count:
                drawn.add(word % choices)
        number += 1
    return tuple(sorted(drawn))
