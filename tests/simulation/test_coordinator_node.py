"""The coordinator carries out rounds: answers, losses, refusals, going back, starting again."""

import asyncio
from collections import Counter

import pytest

from cluster.control.slots import MinerId
from cluster.node import coordinator
from cluster.node.ports import FlatState
from consensus.errors import InvalidTransactionError, Reject
from consensus.records.work import Metric
from jobs.errors import DivergedStateError
from storage.errors import StorageFullError
from tests.kit.genesis import public_key
from tests.kit.hashed_training import undisturbed_states
from tests.simulation.schedules import fails, invents_updates, says_it_diverges, sends_other_bytes
from tests.simulation.single_run import SingleRun, WatchedWorld, make_world, play, states, winners
from tests.simulation.world import World

pytestmark = pytest.mark.filterwarnings("error")


def test_runs_all_rounds_and_hands_them_in() -> None:
    async def main() -> None:
        run = SingleRun(make_world(), "anna", "bela")
        await run.committed(4)
        assert states(run) == undisturbed_states(run.world.plan)
        assert winners(run) == {public_key("anna"): 4, public_key("bela"): 4}
        assert [commit.final for commit in run.commits()] == [False, False, False, True]
        assert [commit.optimizer_out is not None for commit in run.commits()] == [False, True, False, True]
        assert sorted(run.world.checkpoints) == [2, 4]
        assert run.node.meter.round == 4
        assert run.node.meter.state_digest == states(run)[-1]
        await run.finish()

    play(main)


def test_says_what_it_waits_for_and_who_works() -> None:
    async def main() -> None:
        run = SingleRun(make_world())
        await asyncio.sleep(1)
        assert "no miners" in run.node.waiting_reason
        run.world.join("anna")
        await asyncio.sleep(0)
        assert run.node.waiting_reason == ""
        assert run.node.miners == {public_key("anna"): 2}
        assert run.node.state_handle(0) is not None
        assert run.node.state_handle(1) is None
        await run.finish()

    play(main)


def test_evaluates_when_due_and_stops_when_the_goal_is_reached() -> None:
    class Measured(WatchedWorld):
        async def evaluate(self, state: FlatState) -> tuple[Metric, ...]:
            return (Metric(name="accuracy", value=len(self.handed_in), scale=4),)

    async def main() -> None:
        world = make_world(Measured, rounds=8, has_validation=True, stop_metric="accuracy", stop_at=0.5)
        run = SingleRun(world, "anna")
        await run.until(lambda: world.supervisor.progress(world.job).is_closing)
        assert [len(commit.metrics) for commit in run.commits()] == [0, 1, 0, 1]
        assert [commit.final for commit in run.commits()] == [False, False, False, True]
        assert 4 in world.checkpoints
        await asyncio.sleep(20)
        assert world.handed_in[-1] == 3
        await run.finish()

    play(main)


def test_a_miner_that_dies_costs_its_slots_only() -> None:
    async def main() -> None:
        run = SingleRun(make_world(WatchedWorld, slots=3), "anna", "bela")
        await run.committed(1)
        run.world.crash("anna")
        await run.committed(4)
        assert states(run) == undisturbed_states(run.world.plan)
        assert public_key("anna") not in run.node.miners
        await run.finish()

    play(main)


def test_a_slot_that_fails_at_its_miner_goes_to_another() -> None:
    async def main() -> None:
        run = SingleRun(make_world(lies={"anna": fails}), "anna", "bela")
        await run.committed(4)
        assert winners(run) == {public_key("bela"): 8}
        await run.finish()

    play(main)


def test_a_draining_miner_finishes_what_it_holds_and_is_let_go() -> None:
    async def main() -> None:
        run = SingleRun(make_world(WatchedWorld, slots=3), "anna", "bela")
        await run.committed(1)
        run.world.drain("anna")
        await asyncio.sleep(0)
        given = sum(a.miner == public_key("anna") for a in run.world.assignments)
        await run.committed(4)
        assert sum(a.miner == public_key("anna") for a in run.world.assignments) == given
        assert set(run.node.miners) == {public_key("bela")}
        await run.finish()

    play(main)


def test_bytes_that_were_not_signed_for_exclude_their_miner_and_never_count() -> None:
    async def main() -> None:
        run = SingleRun(make_world(lies={"anna": sends_other_bytes}), "anna", "bela")
        await run.committed(4)
        assert states(run) == undisturbed_states(run.world.plan)
        assert winners(run) == {public_key("bela"): 8}
        assert public_key("anna") not in run.node.miners
        await run.finish()

    play(main)


def test_a_refused_commit_takes_the_job_back_to_what_the_chain_holds() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed(1)
        world.refusals.append(InvalidTransactionError(Reject.ROUND))
        await run.committed(4)
        assert states(run) == undisturbed_states(world.plan)
        assert Counter(world.handed_in)[1] >= 2
        await run.finish()

    play(main)


def test_an_error_that_is_no_refusal_ends_the_run_instead_of_stalling_it() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld, rounds=100)
        run = SingleRun(world, "anna")
        world.refusals.append(StorageFullError("chain", "no space left"))
        with pytest.raises(StorageFullError):
            await run.until(lambda: False)

    play(main)


def test_fraud_takes_the_job_back_with_other_attempts_and_without_the_cheat() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld, lies={"anna": invents_updates})
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        assert states(run) != undisturbed_states(world.plan)
        before = len(world.assignments)
        await run.audited()
        assert {fraud.miner for fraud in world.frauds} == {public_key("anna")}
        await run.committed(4)
        assert states(run) == undisturbed_states(world.plan)
        assert winners(run) == {public_key("bela"): 8}
        again = world.assignments[before:]
        assert all(assignment.attempt >= 1 << 16 for assignment in again)
        await run.finish()

    play(main)


def test_answers_of_a_round_that_was_dropped_do_not_count() -> None:
    """Two slots run in a round that is given up: their answers come when the round is open again."""

    async def main() -> None:
        world = make_world(WatchedWorld, slots=2)
        run = SingleRun(world, "anna", "bela", "carl")
        await run.until(lambda: len(world.assignments) == 2)
        run.node.go_back(MinerId(public_key("carl")))
        await run.committed(4)
        assert states(run) == undisturbed_states(world.plan)
        assert public_key("carl") not in winners(run)
        await run.finish()

    play(main)


# divergence


def diverging(*names: str) -> World:
    return make_world(WatchedWorld, lies=dict.fromkeys(names, says_it_diverges))


def test_two_miners_that_diverge_in_a_slot_fail_the_job_once() -> None:
    async def main() -> None:
        world = diverging("anna", "bela", "carl")
        run = SingleRun(world, "anna", "bela", "carl")
        await run.task
        assert len(world.failures) == 1
        assert "lower the learning rate" in world.failures[0]

    play(main)


def test_a_miner_that_is_alone_is_asked_twice() -> None:
    async def main() -> None:
        world = diverging("anna")
        run = SingleRun(world, "anna")
        await run.task
        slots = Counter(assignment.slot for assignment in world.assignments)
        assert max(slots.values()) == 2
        assert len(world.failures) == 1

    play(main)


def test_a_state_that_cannot_be_measured_fails_the_job_once_it_is_committed() -> None:
    class Diverged(WatchedWorld):
        async def evaluate(self, state: FlatState) -> tuple[Metric, ...]:
            raise DivergedStateError("loss")

    async def main() -> None:
        world = make_world(Diverged, has_validation=True)
        run = SingleRun(world, "anna")
        await run.task
        assert world.handed_in == [0, 1]
        assert len(world.failures) == 1

    play(main)


def test_one_of_two_miners_cannot_fail_the_job() -> None:
    async def main() -> None:
        world = diverging("anna")
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        assert world.failures == []
        assert winners(run) == {public_key("bela"): 8}
        await run.finish()

    play(main)


def test_divergence_of_a_slot_that_is_done_says_nothing() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld, rounds=1, slots=1, lies={"anna": says_it_diverges})
        run = SingleRun(world, "anna")
        world.freeze("anna")
        world.join("bela")
        await run.committed(1)
        world.thaw("anna")
        await asyncio.sleep(20)
        assert world.failures == []
        await run.finish()

    play(main)


# audits hold training back


@pytest.fixture
def _few_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "_RETAINED_BYTES", 1)


@pytest.mark.usefixtures("_few_states")
def test_training_waits_when_too_many_states_are_not_settled() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed(2)
        await asyncio.sleep(30)
        assert run.node.meter.round == 1
        await run.audited()
        await run.committed(3)
        assert run.node.state_handle(0) is None
        await run.finish()

    play(main)


@pytest.mark.usefixtures("_few_states")
def test_waiting_for_audits_ends_when_the_job_goes_back_or_is_over() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed(2)
        await asyncio.sleep(5)
        run.node.go_back(MinerId(public_key("carl")))
        await asyncio.sleep(20)
        assert not run.task.done()
        await run.finish()

    play(main)


@pytest.mark.usefixtures("_few_states")
def test_waiting_for_audits_ends_when_a_commit_is_refused() -> None:
    """Otherwise a round that is not on the chain would wait for its settlement for ever."""

    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed(1)
        world.refusals.append(InvalidTransactionError(Reject.ROUND))
        await run.until(lambda: world.handed_in.count(1) >= 1 and not world.refusals)
        await run.committed(2)
        await run.finish()

    play(main)
