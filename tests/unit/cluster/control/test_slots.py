"""One slot: who was asked, who failed, who won."""

from cluster.control.slots import Attempt, MinerId, Slot

ANNA, BELA = MinerId(b"anna"), MinerId(b"bela")


def test_a_fresh_slot_is_open() -> None:
    slot = Slot(index=3)
    assert slot.is_open
    assert not slot.is_done


def test_attempts_are_numbered_in_order() -> None:
    slot = Slot(index=0).assign(ANNA, 1.0).assign(BELA, 2.0)
    assert slot.attempts == (
        Attempt(number=0, miner=ANNA, since_s=1.0),
        Attempt(number=1, miner=BELA, since_s=2.0),
    )
    assert not slot.is_open


def test_an_attempt_is_found_by_number_and_miner() -> None:
    slot = Slot(index=0).assign(ANNA, 1.0).assign(BELA, 2.0)
    assert slot.find(1, BELA) == slot.attempts[1]
    assert slot.find(1, ANNA) is None
    assert slot.find(2, BELA) is None


def test_the_winner_ends_all_attempts() -> None:
    slot = Slot(index=0).assign(ANNA, 1.0).assign(BELA, 2.0)
    done = slot.finish(slot.attempts[1])
    assert done.is_done
    assert done.attempts == ()
    assert done.winner == slot.attempts[1]


def test_a_miner_that_is_gone_leaves_its_win_and_takes_its_attempts() -> None:
    running = Slot(index=0).assign(ANNA, 1.0).assign(BELA, 2.0)
    assert running.without(ANNA).attempts == running.attempts[1:]
    done = running.finish(running.attempts[0])
    assert done.without(ANNA) is done


def test_giving_up_ends_one_attempt_and_is_remembered() -> None:
    slot = Slot(index=0).assign(ANNA, 1.0).assign(BELA, 2.0)
    left = slot.give_up(slot.attempts[0])
    assert left.attempts == slot.attempts[1:]
    assert left.failed == {ANNA}


def test_a_reopened_slot_counts_its_attempts_on() -> None:
    slot = Slot(index=0).assign(ANNA, 1.0)
    again = slot.finish(slot.attempts[0]).reopen()
    assert again.is_open
    assert again.assign(BELA, 2.0).attempts[0].number == 1
