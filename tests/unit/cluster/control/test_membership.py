"""Which miners to start and to drain."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.control.membership import MembershipPlan, MinerState, miner_name, plan_membership

IDLE, LOST, DRAINING = MinerState.IDLE, MinerState.LOST, MinerState.DRAINING
COUNTED = (MinerState.STARTING, IDLE, MinerState.WORKING, MinerState.SILENT)


def miners(*states: MinerState) -> dict[str, MinerState]:
    return {miner_name(number): state for number, state in enumerate(states)}


def test_nothing_to_do() -> None:
    assert plan_membership(miners(*COUNTED), len(COUNTED)) == MembershipPlan()


def test_starts_the_lowest_free_names() -> None:
    assert plan_membership({"miner-1": IDLE}, 3) == MembershipPlan(start=("miner-0", "miner-2"))


def test_takes_up_the_name_of_a_lost_miner() -> None:
    assert plan_membership(miners(LOST, IDLE), 2) == MembershipPlan(start=("miner-0",))


@pytest.mark.parametrize("state", [DRAINING, MinerState.EXCLUDED])
def test_replaces_one_that_leaves_under_another_name(state: MinerState) -> None:
    assert plan_membership(miners(state, IDLE), 2) == MembershipPlan(start=("miner-2",))


def test_drains_the_highest_numbers_first() -> None:
    names = {miner_name(number): IDLE for number in (2, 10, 9)}
    assert plan_membership(names, 1) == MembershipPlan(drain=("miner-9", "miner-10"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(MinerState), max_size=12), st.integers(0, 12))
def test_the_plan_leads_to_the_desired_number(states: list[MinerState], desired: int) -> None:
    before = miners(*states)
    plan = plan_membership(before, desired)
    after = {**before, **dict.fromkeys(plan.drain, DRAINING), **dict.fromkeys(plan.start, MinerState.STARTING)}
    assert sum(state in COUNTED for state in after.values()) == desired
    assert plan_membership(after, desired) == MembershipPlan()
    assert all(before.get(name, LOST) is LOST for name in plan.start)
