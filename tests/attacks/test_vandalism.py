"""Miners that want no pay, only to see a job fail. One of them alone cannot, however few slots are audited.

Audits draw one slot in a hundred here. What makes training fail is followed by a replay of everything that is not
settled yet, so the update that did it is found although it was not drawn.
"""

from functools import cache

import pytest

from cluster.node.ports import SlotReply
from consensus.errors import Reject
from consensus.ledger.entries import JobStatus
from consensus.ledger.rewards import slot_pay
from consensus.replay.verdict import Outcome
from jobs.errors import TrainingDivergedError
from tests.kit import lies
from tests.kit.genesis import FUNDS
from tests.kit.site import CHEAT, HONEST, Lie, Task, open_site
from tests.kit.site_run import SiteRun, run_job

FEW_PPM = 10_000


@cache
def honest_run() -> SiteRun:
    return run_job(open_site(audit_ppm=FEW_PPM))


@pytest.mark.parametrize("when", [0, 1, 4, 5])
def test_an_update_that_ruins_the_model_is_found_and_undone(when: int) -> None:
    """In the first round, in the middle, and in the last one, after which nobody trains on the ruin."""
    site = open_site(audit_ppm=FEW_PPM)
    site.lies[CHEAT] = lies.in_round(when, lies.ruinous_update)
    run = run_job(site)
    assert run.failures
    assert site.frauds() == [(CHEAT, Reject.UPDATE.value)]
    assert site.is_excluded(CHEAT)
    assert site.job.status is JobStatus.COMPLETED
    assert site.job.state == honest_run().site.job.state
    assert site.balance(CHEAT) <= when * slot_pay(site.job)


def says_it_diverges(task: Task) -> SlotReply:
    raise TrainingDivergedError(task.assignment.round, task.assignment.slot, 0)


def test_a_miner_that_says_every_slot_diverges_is_not_believed() -> None:
    site = open_site(audit_ppm=FEW_PPM)
    site.lies[CHEAT] = says_it_diverges
    run = run_job(site)
    assert run.failures == []
    assert site.job.status is JobStatus.COMPLETED
    assert site.job.state == honest_run().site.job.state
    assert site.balance(CHEAT) == 0


@pytest.mark.parametrize("lie", [lies.other_bytes, lies.short_update])
def test_an_unusable_answer_costs_one_slot(lie: Lie) -> None:
    site = open_site(audit_ppm=FEW_PPM)
    site.lies[CHEAT] = lies.in_round(3, lie)
    run = run_job(site)
    assert run.failures == []
    assert site.job.state == honest_run().site.job.state


def forges_twice(task: Task) -> SlotReply:
    return lies.invented_update(task) if task.assignment.round in (1, 4) else task.reply


@pytest.mark.parametrize("number", range(8))
def test_a_forgery_that_was_not_drawn_does_not_stop_the_job_when_another_is(number: int) -> None:
    """Going back then meets a round that cannot be reproduced: its forged slot is found, or what is settled stands."""
    site = open_site(audit_ppm=500_000 - number * 1_000)
    site.lies[CHEAT] = forges_twice
    run_job(site)
    assert site.job.status is JobStatus.COMPLETED
    assert not site.is_excluded(HONEST)
    assert site.is_excluded(CHEAT) == bool(site.frauds())
    assert site.balance(HONEST) + site.balance(CHEAT) + site.balance("client") == FUNDS


def test_the_runs_above_hold_every_course_of_events() -> None:
    """Found at the first forgery; at the second one only, when the first was paid already; not at all."""
    slots_paid: set[int] = set()
    for number in range(8):
        site = open_site(audit_ppm=500_000 - number * 1_000)
        site.lies[CHEAT] = forges_twice
        run_job(site)
        slots_paid.add(site.balance(CHEAT) // slot_pay(site.job))
    assert min(slots_paid) <= 1
    assert slots_paid & {2, 3, 4}
    assert max(slots_paid) == 6


def test_a_job_that_diverges_by_itself_fails_and_nobody_is_accused() -> None:
    site = open_site(audit_ppm=FEW_PPM, optimizer={"name": "sgd", "lr": 1e30})
    run = run_job(site)
    assert len(run.failures) == 1
    assert site.job.status is JobStatus.FAILED
    assert "diverged" in site.job.reason
    assert site.frauds() == []
    assert {verdict.outcome for verdict in site.verdicts} == {Outcome.MATCH}, "every slot was replayed before"
    assert site.job.escrow == 0
    assert site.balance(HONEST) + site.balance(CHEAT) + site.balance("client") == FUNDS
