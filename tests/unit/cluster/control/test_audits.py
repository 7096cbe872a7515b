"""The audit book: what is due, what may be settled, and what a rewind does to both."""

import pytest

from cluster.control import audits
from cluster.control.audits import AuditBook, SlotRef
from consensus.primitives.integers import Digest
from consensus.records.transactions import AuditedSlot
from consensus.records.work import SlotCommit
from consensus.replay.sampling import is_sampled
from tests.kit.genesis import public_key
from tests.kit.work import word

ALL, NONE = 1_000_000, 0
JOB, OTHER = word("job"), word("other")
BEACON = word("beacon")


def commits(*names: str) -> list[SlotCommit]:
    return [SlotCommit(miner=public_key("miner"), report=word(name)) for name in names]


def add(book: AuditBook, number: int, audit_ppm: int = ALL, job: Digest = JOB, run: str = "") -> tuple[int, ...]:
    """A round of two slots."""
    return book.add_round(job, number, commits(f"{number}a{run}", f"{number}b{run}"), BEACON, audit_ppm)


def take_all(book: AuditBook) -> list[SlotRef]:
    return [slot for slot in iter(book.next_due, None) if slot is not None]


def audited(*places: tuple[int, int]) -> tuple[AuditedSlot, ...]:
    return tuple(AuditedSlot(round=number, slot=slot) for number, slot in places)


def test_draws_the_slots_that_the_beacon_names() -> None:
    drawn = AuditBook().add_round(JOB, 3, commits(*"abcdefgh"), BEACON, 400_000)
    assert drawn == tuple(i for i in range(8) if is_sampled(BEACON, JOB, 3, i, 400_000))
    assert 0 < len(drawn) < 8


def test_slots_are_due_in_order_with_their_reports() -> None:
    book = AuditBook()
    add(book, 0)
    add(book, 1)
    assert book.backlog == 4
    assert take_all(book) == [SlotRef(JOB, n, s, word(f"{n}{'ab'[s]}")) for n in (0, 1) for s in (0, 1)]
    assert book.next_due() is None


def test_a_round_is_settleable_when_all_its_audits_match() -> None:
    book = AuditBook()
    add(book, 0)
    first, second = take_all(book)
    book.record_match(first)
    assert book.settleable(JOB) is None
    book.record_match(second)
    assert book.settleable(JOB) == (1, audited((0, 0), (0, 1)))


def test_a_round_without_sampled_slots_is_settleable_at_once() -> None:
    book = AuditBook()
    assert add(book, 0, NONE) == ()
    assert book.settleable(JOB) == (1, ())


def test_settlement_stops_at_the_first_round_that_waits() -> None:
    book = AuditBook()
    add(book, 0, NONE)
    add(book, 1)
    add(book, 2, NONE)
    assert book.settleable(JOB) == (1, ())


def test_a_settlement_names_a_bounded_number_of_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "_AUDITED_AT_ONCE", 3)
    book = AuditBook()
    for number in range(3):
        add(book, number)
    for slot in take_all(book):
        book.record_match(slot)
    assert book.settleable(JOB) == (1, audited((0, 0), (0, 1)))
    monkeypatch.setattr(audits, "_AUDITED_AT_ONCE", 1)
    assert book.settleable(JOB) == (1, audited((0, 0), (0, 1)))


def test_nothing_is_settleable_of_an_unknown_job() -> None:
    assert AuditBook().settleable(JOB) is None


def test_settled_rounds_leave_the_book() -> None:
    book = AuditBook()
    add(book, 0)
    add(book, 1, NONE)
    add(book, 2)
    book.settled(JOB, 2)
    assert [slot.round for slot in take_all(book)] == [2, 2]
    assert book.settleable(JOB) is None


def test_settling_an_unknown_job_changes_nothing() -> None:
    book = AuditBook()
    add(book, 0)
    book.settled(OTHER, 5)
    assert book.backlog == 2


def test_what_cannot_be_replayed_now_stays_first_in_line() -> None:
    book = AuditBook()
    add(book, 0)
    slot = book.next_due()
    assert slot is not None
    book.put_back(slot)
    assert book.next_due() == slot


def test_a_job_whose_states_are_not_to_be_had_does_not_hold_up_another() -> None:
    book = AuditBook()
    add(book, 0)
    add(book, 1)
    add(book, 0, job=OTHER)
    slot = book.next_due()
    assert slot is not None
    book.put_back(slot)
    rest = take_all(book)
    assert [each.job for each in rest] == [OTHER, OTHER, JOB, JOB, JOB, JOB]
    assert rest[2] == slot


def test_what_was_discarded_or_closed_is_not_put_back() -> None:
    book = AuditBook()
    add(book, 0)
    slot = book.next_due()
    assert slot is not None
    book.rewind(JOB, 0)
    book.put_back(slot)
    assert book.backlog == 0


def test_a_rewind_discards_rounds_and_their_audits() -> None:
    book = AuditBook()
    for number in range(3):
        add(book, number)
    add(book, 0, job=OTHER)
    book.rewind(JOB, 1)
    assert {(slot.job, slot.round) for slot in take_all(book)} == {(JOB, 0), (OTHER, 0)}


def test_a_verdict_on_a_discarded_report_says_nothing_of_the_one_that_took_its_place() -> None:
    """Otherwise a cheat that runs a slot again would be covered by the honest report that was there before."""
    book = AuditBook()
    add(book, 0)
    old = take_all(book)
    book.rewind(JOB, 0)
    add(book, 0, run="again")
    for slot in old:
        book.record_match(slot)
        book.put_back(slot)
    assert book.settleable(JOB) is None
    assert [slot.report for slot in take_all(book)] == [word("0aagain"), word("0bagain")]


def test_under_suspicion_every_open_slot_is_replayed_and_the_settlement_names_what_was_drawn() -> None:
    book = AuditBook()
    add(book, 0)
    done, _ = take_all(book)
    book.record_match(done)
    add(book, 1, NONE)
    book.suspect(JOB)
    assert [(slot.round, slot.slot) for slot in take_all(book)] == [(1, 0), (1, 1)]
    add(book, 2, NONE)
    late = take_all(book)
    assert [(slot.round, slot.slot) for slot in late] == [(2, 0), (2, 1)]
    assert book.settleable(JOB) is None
    for slot in [SlotRef(JOB, 0, 1, word("0b")), *(SlotRef(JOB, 1, s, word(f"1{'ab'[s]}")) for s in (0, 1)), *late]:
        book.record_match(slot)
    assert book.settleable(JOB) == (3, audited((0, 0), (0, 1)))


def test_proven_fraud_ends_the_suspicion() -> None:
    book = AuditBook()
    book.suspect(JOB)
    book.rewind(JOB, 0)
    add(book, 0, NONE)
    assert book.backlog == 0


def test_everything_can_be_forgotten() -> None:
    book = AuditBook()
    add(book, 0)
    book.clear()
    assert book.backlog == 0
    assert book.sampled() == []


def test_closing_a_job_leaves_the_others() -> None:
    book = AuditBook()
    add(book, 0)
    add(book, 0, job=OTHER)
    book.close(JOB)
    book.close(JOB)
    assert {slot.job for slot in take_all(book)} == {OTHER}
    assert book.settleable(JOB) is None


def test_what_a_settlement_waits_for_is_said_in_words() -> None:
    book = AuditBook()
    assert book.explain_open(JOB) == ""
    add(book, 0)
    assert book.explain_open(JOB) == "2 drawn slots wait for their replay"
    slot = book.next_due()
    assert slot is not None
    book.put_back(slot, "inconclusive: another replay class")
    assert book.explain_open(JOB).endswith("(inconclusive: another replay class)")
    for each in take_all(book):
        book.record_match(each)
    assert book.explain_open(JOB) == ""
