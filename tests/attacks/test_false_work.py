"""A miner reports work it did not do. Its slot is replayed: it is excluded and unpaid, and the job ends as if it had
never been there (invariants 1 and 9)."""

from functools import cache

import pytest

from consensus.errors import Reject
from consensus.ledger.entries import JobStatus
from consensus.ledger.rewards import slot_pay
from consensus.replay.verdict import Outcome
from tests.kit import lies
from tests.kit.site import CHEAT, HONEST, Lie, open_site
from tests.kit.site_run import SiteRun, run_job

SEVERAL_STEPS = {"local_steps": 4, "rounds": 2}

GRADIENT_LIES: list[tuple[Lie, Reject]] = [
    (lies.noise_batch, Reject.BATCH_BYTES),
    (lies.other_batch, Reject.BATCH_INDICES),
    (lies.copied_slot, Reject.BATCH_INDICES),
    (lies.copied_update, Reject.UPDATE),
    (lies.invented_update, Reject.UPDATE),
    (lies.dithered_update, Reject.UPDATE),
    (lies.loss_bit, Reject.LOSS),
    (lies.large_batch, Reject.BATCH_BYTES),
    (lies.large_weights, Reject.REPORT_SHAPE),
    (lies.more_examples, Reject.REPORT_SHAPE),
]
LOCAL_LIES: list[tuple[Lie, Reject]] = [
    (lies.noise_batch, Reject.BATCH_BYTES),
    (lies.copied_update, Reject.WEIGHTS_OUT),
    (lies.invented_update, Reject.UPDATE),
    (lies.dithered_update, Reject.UPDATE),
    (lies.dithered_weights, Reject.WEIGHTS_OUT),
    (lies.loss_bit, Reject.LOSS),
]


@cache
def honest_run(several_steps: bool) -> SiteRun:
    """What the job comes to when nobody lies."""
    return run_job(open_site(**(SEVERAL_STEPS if several_steps else {})))


def run_with(lie: Lie, **train: object) -> SiteRun:
    site = open_site(**train)
    site.lies[CHEAT] = lie
    return run_job(site)


def check_as_if_never_there(run: SiteRun, honest: SiteRun) -> None:
    """Same states after every round, all slots paid to the honest miner, no credit made or lost."""
    assert run.site.job.status is JobStatus.COMPLETED
    assert (run.digests, run.site.job.state) == (honest.digests, honest.site.job.state)
    job = run.site.job
    assert run.site.balance(HONEST) == slot_pay(job) * job.rounds * job.slots
    assert run.site.balance(CHEAT) == 0
    assert run.site.credits() == honest.site.credits()


@pytest.mark.parametrize("several_steps", [False, True])
def test_honest_miners_are_both_paid_and_nothing_is_found(several_steps: bool) -> None:
    run = honest_run(several_steps)
    assert run.site.job.status is JobStatus.COMPLETED
    assert run.site.frauds() == []
    assert {verdict.outcome for verdict in run.site.verdicts} == {Outcome.MATCH}
    assert run.site.balance(HONEST) > 0
    assert run.site.balance(HONEST) + run.site.balance(CHEAT) == slot_pay(run.site.job) * run.site.job.rounds * 2


@pytest.mark.parametrize(("lie", "code"), GRADIENT_LIES)
def test_a_lie_about_a_gradient_is_found(lie: Lie, code: Reject) -> None:
    run = run_with(lie)
    assert run.site.frauds() == [(CHEAT, code.value)]
    assert run.site.is_excluded(CHEAT)
    check_as_if_never_there(run, honest_run(several_steps=False))


@pytest.mark.parametrize(("lie", "code"), LOCAL_LIES)
def test_a_lie_about_several_steps_is_found(lie: Lie, code: Reject) -> None:
    run = run_with(lie, **SEVERAL_STEPS)
    assert run.site.frauds() == [(CHEAT, code.value)]
    assert run.site.is_excluded(CHEAT)
    check_as_if_never_there(run, honest_run(several_steps=True))


def test_a_late_lie_costs_what_was_not_settled_yet() -> None:
    run = run_with(lies.in_round(4, lies.invented_update))
    job = run.site.job
    assert run.site.frauds() == [(CHEAT, Reject.UPDATE.value)]
    assert run.site.job.state == honest_run(several_steps=False).site.job.state
    assert run.site.balance(HONEST) == slot_pay(job) * (job.rounds * job.slots - 4), "the four rounds before stand"
    assert run.site.balance(CHEAT) in range(slot_pay(job), 4 * slot_pay(job)), "paid only for what was settled before"


def test_two_cheats_in_one_round_are_both_found() -> None:
    site = open_site(miners=(HONEST, CHEAT, "second cheat"), slots=4)
    site.lies = {CHEAT: lies.loss_bit, "second cheat": lies.invented_update}
    run = run_job(site)
    assert {miner for miner, _ in site.frauds()} == {CHEAT, "second cheat"}
    assert site.job.state == run_job(open_site(slots=4)).site.job.state
    assert site.balance(CHEAT) == site.balance("second cheat") == 0
    assert run.failures == []


def test_a_cheat_does_not_come_back_under_its_key() -> None:
    run = run_with(lies.loss_bit)
    assert run.site.supervisor.template(run.site.miners[CHEAT].public_key) is None
    last_round = run.site.job.rounds - 1
    assert {miner for number, _, miner in run.slots_run if number == last_round} == {HONEST}
