"""From a step to the hashes it may try."""

import hashlib

import pytest

from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest, Target
from tests.kit.genesis import PARAMS
from tests.kit.work import make_assignment, make_step, word

STEP = make_step(make_assignment(word("job")))


@pytest.mark.parametrize(
    ("batch_bytes", "weight_bytes", "expected"),
    [
        (0, 0, 1),
        (1_023, 4_095, 1),
        (2_048, 0, 2),
        (0, 8_192, 2),
        (2_048, 8_192, 4),
        (63 * 1_024, 4_096, 64),
        (64 * 1_024, 4_096, 64),
        (2**62, 2**62, 64),
    ],
)
def test_more_bytes_give_more_tries_up_to_a_limit(batch_bytes: int, weight_bytes: int, expected: int) -> None:
    step = make_step(make_assignment(word("job")), batch_bytes=batch_bytes, weight_bytes=weight_bytes)
    assert tries(PARAMS, step) == expected


def test_a_nonce_follows_from_the_record_and_the_attempt() -> None:
    assert nonce(STEP.digest, 3) == sha256("pouw/nonce/1", STEP.digest, b"\x00\x00\x00\x03")
    other = make_step(make_assignment(word("job")), loss_bits=STEP.loss_bits + 1)
    assert len({nonce(STEP.digest, 0), nonce(STEP.digest, 1), nonce(other.digest, 0)}) == 3


def test_the_work_is_a_double_hash() -> None:
    once = hashlib.sha256(b"header" + word("nonce")).digest()
    assert proof_of_work_hash(b"header", word("nonce")) == hashlib.sha256(once).digest()


def test_only_a_smaller_hash_wins() -> None:
    target = Target(b"\x10" + bytes(31))
    assert is_below_target(Digest(b"\x0f" + b"\xff" * 31), target)
    assert not is_below_target(Digest(bytes(target)), target)
    assert not is_below_target(Digest(b"\x10" + bytes(30) + b"\x01"), target)
