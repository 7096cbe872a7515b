"""One coordinator at work, with nothing around it but what a test does: no duties, no audits, no second start."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random  # noqa: TID251 - always from the same seed
from typing import Any

from cluster.control.slots import MinerId
from cluster.node.coordinator import CoordinatorNode
from cluster.node.ports import FlatState, JobProgress, SlotReply
from consensus.crypto.signing import decode_signed
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.work import Assignment, RoundCommit
from tests.kit.genesis import public_key
from tests.kit.hashed_training import make_plan
from tests.kit.virtual_time import run_virtual
from tests.simulation.invariants import ChainStory
from tests.simulation.schedules import Lie
from tests.simulation.world import REWARD, World

LIMIT_S = 1_000.0


def make_world(kind: type[World] = World, *, lies: dict[str, Lie] | None = None, **options: object) -> World:
    """A world whose job is started."""
    names = ("rounds", "slots", "eval_every", "checkpoint_every", "stop_metric", "stop_at", "has_validation")
    plan = make_plan(**{name: options.pop(name) for name in names if name in options})
    world = kind(plan=plan, random=Random(0), lies=lies or {}, **options)
    world.supervisor.start_job(world.job, public_key("coordinator"))
    world.clock_offset_ms += 10
    assert world.supervisor.append_quiet_block()
    return world


class WatchedWorld(World):
    """Remembers what the coordinator asks for, and refuses what a test wants refused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.assignments: list[Assignment] = []
        self.handed_in: list[int] = []
        self.refusals: list[Exception] = []

    async def run_slot(self, miner: MinerId, assignment: bytes, state: FlatState) -> SlotReply:
        self.assignments.append(decode(decode_signed(assignment).body, Assignment))
        return await super().run_slot(miner, assignment, state)

    async def commit_round(self, commit: bytes, reports: tuple[bytes, ...]) -> JobProgress:
        self.handed_in.append(decode(decode_signed(commit).body, RoundCommit).round)
        if self.refusals:
            raise self.refusals.pop(0)
        return await super().commit_round(commit, reports)


class SingleRun:
    """A world with its coordinator running."""

    def __init__(self, world: World, *miners: str) -> None:
        self.world = world
        for name in miners:
            world.join(name)
        self.node: CoordinatorNode = world.new_coordinator()
        self.task = asyncio.create_task(self.node.run())

    def start_again(self, *miners: str) -> None:
        """The coordinator's process dies and comes back, and so do these miners."""
        self.task.cancel()
        for name in miners:
            self.world.join(name)
        self.node = self.world.new_coordinator()
        self.task = asyncio.create_task(self.node.run())

    async def committed_only(self, rounds: int) -> None:
        """Until so many rounds are acknowledged; then all miners die, so that no more follow."""
        await self.committed(rounds)
        for name in list(self.world.miners):
            self.world.crash(name)
        await self.audited()
        assert self.world.supervisor.progress(self.world.job).settled_round == rounds

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass until something holds. Raises what ended the coordinator."""
        while not holds():
            if self.task.done():
                self.task.result()
                raise AssertionError("the coordinator is done")
            await asyncio.sleep(0.1)

    async def committed(self, rounds: int) -> None:
        """Until so many rounds are acknowledged."""
        await self.until(lambda: self.world.supervisor.progress(self.world.job).next_round >= rounds)

    async def audited(self) -> None:
        """Blocks and their audits until all that can be settled is."""
        for _ in range(4):
            await asyncio.sleep(30)
            self.world.supervisor.append_quiet_block()
            await self.world.audit()

    async def finish(self) -> None:
        """Stop the coordinator; what ended it before is raised."""
        self.node.stop()
        await self.task

    def commits(self) -> list[RoundCommit]:
        """Rounds that wait for a block or are in one, as they stand, in order."""
        story = ChainStory()
        for block in self.world.blocks():
            story.add(block, REWARD, 0)
        for message in self.world.supervisor.pool.all_messages():
            story.add_message(message, 0)
        return [story.committed[number] for number in sorted(story.committed)]


def states(run: SingleRun) -> list[Digest]:
    return [run.commits()[0].state_in, *(commit.state_out for commit in run.commits())]


def winners(run: SingleRun) -> Counter[bytes]:
    return Counter(slot.miner for commit in run.commits() for slot in commit.slots)


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run_virtual(main(), LIMIT_S)
