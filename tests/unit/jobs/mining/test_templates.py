"""Which template a miner commits to and uses: always the one that the rules will look for."""

from consensus.crypto.signing import Signed, sign
from consensus.primitives.integers import Digest
from jobs.mining.templates import Template, TemplateBook
from tests.kit.chain import start_chain
from tests.kit.genesis import secret_key
from tests.kit.work import make_assignment, make_report, word

JOB, LEAD = word("job"), 2


def template(parent: str = "tip", time_ms: int = 1) -> Template:
    chain = start_chain()
    header = chain.template((), secret_key("miner"), "pouw")
    changed = {name: getattr(header, name) for name in header.__struct_fields__}
    return Template(header=type(header)(**{**changed, "parent": word(parent), "time_ms": time_ms}), transactions=())


def report(round_number: int, slot: int = 0, salt: str = "") -> Signed:
    message = make_report(make_assignment(JOB, round_number, slot), salt=salt)
    return sign(secret_key("miner"), Digest(bytes(32)), message)


def commit(book: TemplateBook, round_number: int, slot: int = 0, salt: str = "") -> Signed:
    present = book.to_commit()
    assert present is not None
    signed = report(round_number, slot, salt)
    book.committed(present, JOB, round_number, slot, signed)
    return signed


def test_every_report_commits_to_the_present_template() -> None:
    book, first, second = TemplateBook(), template(time_ms=1), template(time_ms=2)
    assert book.to_commit() is None
    book.offer(first)
    commit(book, 0)
    assert book.to_commit() == first
    book.offer(second)
    assert book.to_commit() == second


def test_a_template_is_usable_when_the_lead_is_over() -> None:
    book = TemplateBook()
    book.offer(template())
    signed = commit(book, 3)
    assert book.usable(JOB, 4, LEAD) is None
    found = book.usable(JOB, 5, LEAD)
    assert found is not None
    assert found.report == signed
    assert book.usable(word("another job"), 5, LEAD) is None


def test_the_newest_round_before_the_lead_counts() -> None:
    book = TemplateBook()
    book.offer(template())
    reports = [commit(book, number) for number in range(5)]
    found = book.usable(JOB, 5, LEAD)
    assert found is not None
    assert found.report == reports[3]


def test_the_first_slot_of_a_round_counts() -> None:
    book = TemplateBook()
    book.offer(template())
    commit(book, 0, slot=2)
    first = commit(book, 0, slot=1)
    commit(book, 0, slot=3)
    found = book.usable(JOB, LEAD, LEAD)
    assert found is not None
    assert found.report == first
    again = commit(book, 0, slot=1, salt="run again")
    found = book.usable(JOB, LEAD, LEAD)
    assert found is not None
    assert found.report == again


def test_a_new_tip_makes_older_templates_worthless() -> None:
    book, old = TemplateBook(), template("old tip")
    book.offer(old)
    commit(book, 0)
    book.offer(template("new tip"))
    assert book.usable(JOB, 9, LEAD) is None
    book.committed(old, JOB, 5, 0, report(5))
    assert book.usable(JOB, 9, LEAD) is None


def test_nothing_is_left_once_a_block_was_made() -> None:
    book = TemplateBook()
    book.offer(template())
    commit(book, 0)
    book.drop()
    assert book.to_commit() is None
    assert book.usable(JOB, 9, LEAD) is None


def test_old_rounds_are_forgotten() -> None:
    book = TemplateBook()
    book.offer(template())
    for number in range(100):
        commit(book, number)
    assert book.usable(JOB, 20 + LEAD, LEAD) is None
    assert book.usable(JOB, 50 + LEAD, LEAD) is not None
