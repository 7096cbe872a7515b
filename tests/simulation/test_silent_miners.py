"""Frozen miners in a running job: others stand in, late answers do no harm, a replaced process takes nobody along."""

import asyncio

from cluster.control.rounds import LAG_FLOOR_S, MinerHeard, MinerSilent
from cluster.control.slots import MinerId
from cluster.node.ports import FlatState, MinerGoneError, MinerReplacedError, SlotReply, StateHandle
from tests.kit.genesis import public_key
from tests.kit.hashed_training import undisturbed_states
from tests.simulation.single_run import SingleRun, WatchedWorld, make_world, play, states
from tests.simulation.world import FROZEN_S

ANNA = MinerId(public_key("anna"))


def test_a_silent_miner_holds_up_nobody_and_its_late_answers_change_nothing() -> None:
    async def main() -> None:
        run = SingleRun(make_world(WatchedWorld, slots=3), "anna", "bela")
        await run.committed(1)
        run.world.freeze("anna")
        run.node.tell(MinerSilent(miner=ANNA))
        before_s = run.world.now_s()
        await run.committed(3)
        assert run.world.now_s() - before_s < FROZEN_S
        run.world.thaw("anna")
        run.node.tell(MinerHeard(miner=ANNA))
        await run.committed(4)
        assert states(run) == undisturbed_states(run.world.plan)
        assert ANNA in run.node.miners
        await run.finish()

    play(main)


class Replacing(WatchedWorld):
    """The first process of Anna ends after another has taken its place."""

    async def run_slot(self, miner: MinerId, assignment: bytes, state: StateHandle | FlatState) -> SlotReply:
        if miner == ANNA and not self.handed_in:
            await asyncio.sleep(2 * LAG_FLOOR_S)
            raise MinerReplacedError(miner.hex())
        return await super().run_slot(miner, assignment, state)


class Losing(Replacing):
    """The same, where nobody has taken its place."""

    async def run_slot(self, miner: MinerId, assignment: bytes, state: StateHandle | FlatState) -> SlotReply:
        try:
            return await super().run_slot(miner, assignment, state)
        except MinerReplacedError as error:
            raise MinerGoneError(miner.hex()) from error


def test_the_end_of_a_replaced_process_does_not_send_the_new_one_away() -> None:
    async def main() -> None:
        run = SingleRun(make_world(Replacing, slots=3), "anna", "bela")
        await run.committed(4)
        await asyncio.sleep(3 * LAG_FLOOR_S)
        assert ANNA in run.node.miners
        assert states(run) == undisturbed_states(run.world.plan)
        await run.finish()

    play(main)


def test_the_end_of_a_process_that_was_not_replaced_does() -> None:
    async def main() -> None:
        run = SingleRun(make_world(Losing, slots=3), "anna", "bela")
        await run.committed(1)
        await asyncio.sleep(3 * LAG_FLOOR_S)
        assert ANNA not in run.node.miners
        await run.finish()

    play(main)
