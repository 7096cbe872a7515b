"""The coordinator takes up a job that was under way: from a checkpoint, with rounds that are on the chain already."""

import asyncio

import pytest

from cluster.node.ports import Checkpoint
from consensus.errors import ConsensusError, InvalidTransactionError, Reject
from consensus.primitives.encoding import encode
from consensus.records.transactions import CancelJob
from consensus.replay.verdict import Outcome
from tests.kit.genesis import public_key
from tests.kit.hashed_training import digest_of, numbers, undisturbed_states
from tests.kit.memory_journal import MemoryJournal
from tests.kit.work import word
from tests.simulation.schedules import invents_updates
from tests.simulation.single_run import SingleRun, WatchedWorld, make_world, play, states

pytestmark = pytest.mark.filterwarnings("error")


def test_starts_again_from_a_checkpoint_and_comes_to_the_same_states() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed_only(3)
        before = len(world.assignments)
        run.start_again("anna", "bela")
        await run.committed(4)
        assert min(assignment.round for assignment in world.assignments[before:]) == 2
        assert states(run) == undisturbed_states(world.plan)
        await run.finish()

    play(main)


def test_does_not_go_on_when_the_rounds_do_not_come_out_the_same() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed_only(3)
        for number, stored in world.checkpoints.items():
            damaged = Checkpoint(round=number, state=stored.state, optimizer=numbers(word("damage")))
            world.checkpoints[number] = damaged
        run.start_again("anna", "bela")
        with pytest.raises(ConsensusError, match="is committed"):
            await run.until(lambda: False)

    play(main)


def test_does_not_go_on_from_a_checkpoint_that_the_chain_does_not_lead_to() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed_only(3)
        stored = world.checkpoints[2]
        world.checkpoints[2] = Checkpoint(round=2, state=numbers(word("damage")), optimizer=stored.optimizer)
        run.start_again("anna")
        with pytest.raises(ConsensusError, match="settled with a false update"):
            await run.until(lambda: False)

    play(main)


def test_does_not_go_on_from_a_last_state_that_is_not_the_committed_one() -> None:
    async def main() -> None:
        world = make_world()
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        await run.audited()
        assert world.supervisor.progress(world.job).settled_round == 4
        stored = world.checkpoints[4]
        world.checkpoints[4] = Checkpoint(round=4, state=numbers(word("damage")), optimizer=stored.optimizer)
        run.start_again()
        with pytest.raises(ConsensusError, match="round 4 would start from"):
            await run.until(lambda: False)

    play(main)


def test_a_stored_state_that_no_plan_leaves_is_passed_over() -> None:
    """A cheat made a round look like the last one. Its state is still stored, the chain went back and on without it."""

    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed_only(3)
        stale = Checkpoint(round=3, state=numbers(word("forged")), optimizer=numbers(word("forged")))
        world.checkpoints[3] = stale
        run.start_again("anna")
        await run.committed(4)
        assert states(run) == undisturbed_states(world.plan)
        await run.finish()

    play(main)


def test_a_closing_job_is_run_again_for_its_states_only() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        handed_in = len(world.handed_in)
        run.start_again()
        await run.until(lambda: run.node.state_handle(4) is not None)
        await asyncio.sleep(20)
        assert len(world.handed_in) == handed_in
        assert all(run.node.state_handle(number) is not None for number in range(5))
        await run.audited()
        assert world.supervisor.progress(world.job).settled_round == 4
        await run.finish()

    play(main)


def test_a_closing_job_that_is_settled_runs_nothing_again() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld)
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        await run.audited()
        before = len(world.assignments)
        run.start_again()
        await run.until(lambda: run.node.state_handle(4) is not None)
        await asyncio.sleep(20)
        assert len(world.assignments) == before
        await run.finish()

    play(main)


def test_a_false_update_that_was_committed_is_found_when_its_round_is_run_again() -> None:
    """No audit has drawn it yet. The replay of the honest answer is enough to prove the committed one false."""

    async def main() -> None:
        world = make_world(WatchedWorld, lies={"anna": invents_updates})
        run = SingleRun(world, "anna", "bela")
        await run.committed(2)
        assert world.frauds == []
        run.start_again()
        await run.until(lambda: bool(world.frauds))
        await run.committed(4)
        assert {fraud.miner for fraud in world.frauds} == {public_key("anna")}
        assert states(run) == undisturbed_states(world.plan)
        assert world.failures == []
        await run.finish()

    play(main)


def test_a_miner_that_lies_when_a_round_is_run_again_is_out() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld, lies={"anna": invents_updates})
        run = SingleRun(world, "bela")
        await run.committed(2)
        run.start_again("anna")
        await run.committed(4)
        assert public_key("anna") not in run.node.miners
        assert states(run) == undisturbed_states(world.plan)
        assert world.frauds == []
        await run.finish()

    play(main)


def test_a_dispute_that_cannot_be_decided_yet_costs_an_attempt() -> None:
    class Undecided(WatchedWorld):
        async def dispute(self, report: bytes) -> Outcome:
            if not self.refusals:
                self.refusals.append(InvalidTransactionError(Reject.ROUND))
                return Outcome.INCONCLUSIVE
            self.refusals.clear()
            return await super().dispute(report)

    async def main() -> None:
        world = make_world(Undecided, slots=1, lies={"anna": invents_updates})
        run = SingleRun(world, "bela")
        await run.committed(2)
        world.crash("bela")
        run.start_again("anna")
        await run.until(lambda: public_key("anna") not in run.node.miners and not world.refusals)
        world.join("bela")
        await run.committed(4)
        assert states(run) == undisturbed_states(world.plan)
        await run.finish()

    play(main)


def test_a_cancelled_job_takes_no_more_rounds_and_hands_out_nothing() -> None:
    async def main() -> None:
        world = make_world(WatchedWorld, rounds=8, checkpoint_every=1)
        run = SingleRun(world, "anna")
        await run.committed_only(2)
        sequence = world.supervisor.pool.state.account(public_key("client")).sequence
        world.supervisor.submit(encode(world.sign("client", CancelJob(sequence=sequence, job=world.job))))
        world.join("anna")
        await run.until(lambda: world.handed_in[-1] >= 2)
        await asyncio.sleep(5)
        given = len(world.assignments)
        world.crash("anna")
        world.join("bela")
        await asyncio.sleep(20)
        assert len(world.assignments) == given
        assert len(run.commits()) == 2
        await run.finish()

    play(main)


def test_with_a_journal_the_next_coordinator_goes_on_where_the_last_one_was() -> None:
    """No committed round is run twice, and every unsettled state is there for its audit."""

    async def main() -> None:
        world = make_world(WatchedWorld, rounds=8, checkpoint_every=8)
        world.journal = MemoryJournal()
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        settled = world.supervisor.progress(world.job).settled_round
        before = len(world.assignments)
        run.start_again("anna")
        await run.until(lambda: run.node.state_handle(4) is not None)
        assert all(run.node.state_handle(number) is not None for number in range(settled, 4))
        await run.committed(8)
        assert {assignment.round for assignment in world.assignments[before:]} == set(range(4, 8))
        assert states(run) == undisturbed_states(world.plan)
        await run.finish()

    play(main)


@pytest.mark.parametrize("damage", ["a state before", "the newest state", "no optimizer", "another state"])
def test_a_journal_that_is_damaged_is_passed_over(damage: str) -> None:
    async def main() -> None:
        world = make_world(WatchedWorld, rounds=8, checkpoint_every=8)
        journal = world.journal = MemoryJournal()
        run = SingleRun(world, "anna", "bela")
        await run.committed(4)
        newest, first = max(journal.states), min(journal.states)
        wrong = numbers(word("damage"))
        match damage:
            case "a state before":
                journal.states[first] = journal.states[first][0], wrong
            case "the newest state":
                journal.states[newest] = journal.states[newest][0], wrong
            case "no optimizer":
                journal.optimizers.clear()
            case "another state":
                journal.states[newest] = digest_of(wrong), wrong
        run.start_again("anna")
        await run.committed(8)
        assert states(run) == undisturbed_states(world.plan)
        await run.finish()

    play(main)
