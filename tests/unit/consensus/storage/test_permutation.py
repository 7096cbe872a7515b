"""The slow direction and the fast one undo each other, at the ends of the range too."""

import pytest

from consensus.storage.permutation import seal_blocks, unseal_blocks, unseal_window
from tests.kit.replicas import random_bytes

PRIME = 2**512 - 569
ZERO = bytes(64)
KEY = random_bytes(64, 2)


def block(number: int) -> bytes:
    return number.to_bytes(64, "little")


def sealed(number: int) -> int:
    return int.from_bytes(seal_blocks(block(number), ZERO, ZERO), "little")


@pytest.mark.parametrize("number", [0, 1, 2, 3, PRIME - 2, PRIME - 1, PRIME // 2, 2**511, 2**64 - 1])
def test_is_the_root_of_the_number_or_of_its_negative(number: int) -> None:
    root = sealed(number)
    assert root * root % PRIME == (number if root % 2 == 0 else -number % PRIME)
    assert unseal_blocks(block(root), ZERO, ZERO) == block(number)


@pytest.mark.parametrize("number", [PRIME, PRIME + 1, 2**512 - 1])
def test_numbers_from_the_prime_upwards_stay(number: int) -> None:
    assert sealed(number) == number
    assert unseal_blocks(block(number), ZERO, ZERO) == block(number)


def test_no_two_numbers_share_a_root() -> None:
    numbers = [*range(200), *range(PRIME - 200, PRIME + 200)]
    assert len({sealed(number) for number in numbers}) == len(numbers)


def test_is_a_chain() -> None:
    data, start = random_bytes(10 * 64), random_bytes(64, 1)
    whole = seal_blocks(data, start, KEY)
    assert whole == seal_blocks(data[:256], start, KEY) + seal_blocks(data[256:], whole[192:256], KEY)
    assert unseal_blocks(whole, start, KEY) == data
    assert unseal_blocks(whole[320:], whole[256:320], KEY) == data[320:]


def test_changing_the_start_changes_every_block() -> None:
    data = random_bytes(8 * 64)
    first, second = seal_blocks(data, ZERO, ZERO), seal_blocks(data, block(1), ZERO)
    assert all(first[at : at + 64] != second[at : at + 64] for at in range(0, len(data), 64))


def test_going_back_with_another_key_finds_nothing_anywhere() -> None:
    """Not in the first block only: each chunk of a replica shows by itself for whom it was sealed."""
    data = random_bytes(8 * 64)
    other = unseal_blocks(seal_blocks(data, ZERO, KEY), ZERO, ZERO)
    assert all(data[at : at + 64] != other[at : at + 64] for at in range(0, len(data), 64))


def test_a_window_goes_back_several_passes_at_once() -> None:
    data = random_bytes(9 * 64)
    once = unseal_window(data, 1, KEY)
    assert unseal_window(data, 3, KEY) == unseal_window(unseal_window(once, 1, KEY), 1, KEY)
    assert len(unseal_window(data, 8, KEY)) == 64


@pytest.mark.parametrize("passes", [9, 10])
def test_refuses_to_go_back_further_than_it_has_blocks(passes: int) -> None:
    with pytest.raises(ValueError, match="passes back"):
        unseal_window(bytes(9 * 64), passes, KEY)


def test_refuses_pieces_of_blocks() -> None:
    with pytest.raises(ValueError, match="whole blocks"):
        seal_blocks(bytes(65), ZERO, ZERO)
    with pytest.raises(ValueError, match="whole blocks"):
        unseal_window(bytes(65), 0, KEY)
