"""How likely cheats are to be caught. Auditing each slot with probability q misses k forged slots with (1 - q)^k.

Beacons are drawn from a fixed seed, so the tests are the same every time; the bounds are five standard deviations of a
fair sampling, which a sampling that is biased by a tenth would miss by far.
"""

import math

import pytest

from cluster.control.audits import AuditBook
from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest
from consensus.records.work import SlotCommit
from consensus.replay.sampling import is_sampled
from tests.kit.genesis import public_key
from tests.kit.work import word

JOB = word("job")
PPM = 1_000_000
BEACONS = 4_000


def beacon(number: int) -> Digest:
    return sha256("test/beacon/1", number.to_bytes(8, "big"))


def is_near(found: int, trials: int, probability: float) -> bool:
    """Whether a count is within five standard deviations of what is expected."""
    spread = math.sqrt(trials * probability * (1 - probability))
    return abs(found - trials * probability) <= 5 * spread + 1e-9


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("forged", [1, 3, 10, 40])
def test_forged_slots_are_caught_as_often_as_the_arithmetic_says(share: float, forged: int) -> None:
    """All forged slots in one round, which has one beacon."""
    audit_ppm = round(share * PPM)
    caught = sum(
        any(is_sampled(beacon(number), JOB, 7, slot, audit_ppm) for slot in range(forged)) for number in range(BEACONS)
    )
    assert is_near(caught, BEACONS, 1 - (1 - share) ** forged)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_forging_one_slot_in_each_of_many_rounds_is_no_safer(share: float) -> None:
    audit_ppm, rounds = round(share * PPM), 12
    caught = sum(
        any(is_sampled(beacon(number * rounds + r), JOB, r, 0, audit_ppm) for r in range(rounds))
        for number in range(BEACONS // 2)
    )
    assert is_near(caught, BEACONS // 2, 1 - (1 - share) ** rounds)


@pytest.mark.parametrize("place", ["round", "slot", "job"])
def test_no_place_is_sampled_less_than_others(place: str) -> None:
    """A cheat that knows the code, but not the beacon, has no slot, round or job to prefer."""
    share, trials = 0.1, BEACONS
    for choice in range(5):
        job = word("job", choice) if place == "job" else JOB
        number = 10**choice if place == "round" else 3
        slot = 2**choice if place == "slot" else 0
        found = sum(is_sampled(beacon(n), job, number, slot, round(share * PPM)) for n in range(trials))
        assert is_near(found, trials, share)


def test_neighbouring_slots_are_drawn_independently() -> None:
    share, trials = 0.3, BEACONS
    audit_ppm = round(share * PPM)
    both = sum(
        is_sampled(beacon(n), JOB, 1, 0, audit_ppm) and is_sampled(beacon(n), JOB, 1, 1, audit_ppm)
        for n in range(trials)
    )
    again = sum(
        is_sampled(beacon(n), JOB, 1, 0, audit_ppm) and is_sampled(beacon(n), JOB, 2, 0, audit_ppm)
        for n in range(trials)
    )
    assert is_near(both, trials, share**2)
    assert is_near(again, trials, share**2)


def test_the_ends_of_the_scale() -> None:
    assert not any(is_sampled(beacon(n), JOB, 0, n % 9, 0) for n in range(1000))
    assert all(is_sampled(beacon(n), JOB, 0, n % 9, PPM) for n in range(1000))


def test_the_audit_book_draws_what_the_ledger_will_ask_for() -> None:
    """Were the two to differ, a slot could be audited in vain, or a settlement be refused."""
    slots = tuple(SlotCommit(miner=public_key("miner"), report=word("report", n)) for n in range(64))
    for number in range(50):
        drawn = AuditBook().add_round(JOB, number, slots, beacon(number), 50_000)
        assert drawn == tuple(slot for slot in range(64) if is_sampled(beacon(number), JOB, number, slot, 50_000))
