"""What goes wrong in one simulated run, drawn from its seed: who cheats how, who crashes, freezes, comes or goes when.

One honest miner is always there or comes back, so every run must come to its end.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - from a seed

from msgspec.structs import replace

from cluster.node.miner import MinerNode
from cluster.node.ports import JobPlan, SlotReply
from consensus.crypto.signing import decode_signed, sign
from consensus.primitives.encoding import decode, encode
from consensus.records.work import SlotReport
from jobs.errors import TrainingDivergedError
from tests.kit.hashed_training import digest_of, make_plan, numbers
from tests.kit.memory_journal import MemoryJournal
from tests.kit.work import word
from tests.simulation.world import FROZEN_S, Lie, World

ANCHOR = "honest-0"
"""The honest miner that always comes back."""


def signed_again(node: MinerNode, reply: SlotReply, sent: bytes | None = None, /, **changes: object) -> SlotReply:
    """An answer with another report, validly signed, and maybe another update."""
    report = replace(decode(decode_signed(reply.report).body, SlotReport), **changes)
    array = reply.update if sent is None else numbers(sent)
    return SlotReply(report=encode(sign(node.key, node.chain_id, report)), update=array)


def invents_updates(world: World, node: MinerNode, reply: SlotReply) -> SlotReply:
    """An update out of thin air, consistently reported. Only a replay can tell."""
    update = word("invented", world.random.random())
    report = decode(decode_signed(reply.report).body, SlotReport)
    named = digest_of(numbers(update))
    steps = tuple(replace(step, weights_out=named) for step in report.steps)
    return signed_again(node, reply, update, update=named, steps=steps)


def misreports_loss(world: World, node: MinerNode, reply: SlotReply) -> SlotReply:
    """Honest work with another loss, for other nonces. What is built on it is right, and is run again all the same."""
    report = decode(decode_signed(reply.report).body, SlotReport)
    bits = world.random.choice((0x3F800001, 0x40000000))
    return signed_again(node, reply, steps=tuple(replace(step, loss_bits=bits) for step in report.steps))


def sends_other_bytes(world: World, node: MinerNode, reply: SlotReply) -> SlotReply:
    """Other bytes than were signed for."""
    return SlotReply(report=reply.report, update=numbers(word("other", world.random.random())))


def claims_another_class(world: World, node: MinerNode, reply: SlotReply) -> SlotReply:
    """A replay class in which nobody can check."""
    return signed_again(node, reply, replay_class=word("own class"))


def says_it_diverges(world: World, node: MinerNode, reply: SlotReply) -> SlotReply:
    report = decode(decode_signed(reply.report).body, SlotReport)
    raise TrainingDivergedError(report.round, report.slot, 0)


def fails(world: World, node: MinerNode, reply: SlotReply) -> SlotReply:
    raise MemoryError


LIES: tuple[Lie, ...] = (
    invents_updates,
    invents_updates,
    misreports_loss,
    misreports_loss,
    sends_other_bytes,
    claims_another_class,
    says_it_diverges,
    fails,
)


@dataclass(kw_only=True)
class Schedule:
    """Times in seconds and what happens then."""

    seed: int
    plan: JobPlan = field(default_factory=make_plan)
    events: list[tuple[float, str, Callable[[World], object]]] = field(default_factory=list)
    honest: int = 1
    cheats: dict[str, Lie] = field(default_factory=dict)
    is_mining: bool = False

    def world(self) -> World:
        return World(
            plan=self.plan,
            random=Random(self.seed),
            is_mining=self.is_mining,
            lies=dict(self.cheats),
            journal=MemoryJournal() if self.seed % 2 else None,
        )

    def at(self, when_s: float, name: str, action: Callable[[World], object]) -> None:
        self.events.append((when_s, name, action))

    def describe(self) -> str:
        cheats = {name: lie.__name__ for name, lie in self.cheats.items()}
        events = [f"{when:.1f} {name}" for when, name, _ in sorted(self.events, key=lambda event: event[0])]
        return f"seed {self.seed}: {self.plan}, {self.honest} honest, {cheats}, {events}"


def draw_schedule(seed: int) -> Schedule:
    """The schedule of a seed."""
    random = Random(seed)
    plan = make_plan(
        rounds=random.choice((1, 2, 2, 3, 4)),
        slots=random.choice((1, 2, 2, 3)),
        checkpoint_every=random.choice((1, 2, 3)),
    )
    schedule = Schedule(seed=seed, plan=plan, honest=random.randint(1, 3), is_mining=random.random() < 0.4)
    for number in range(random.choice((0, 1, 1, 2))):
        lies = [lie for lie in LIES if lie is not says_it_diverges or lie not in schedule.cheats.values()]
        schedule.cheats[f"cheat-{number}"] = random.choice(lies)  # two miners that say it diverges are believed
    for number in range(schedule.honest):
        _draw_life(schedule, f"honest-{number}", random)
    for name in schedule.cheats:
        schedule.at(random.choice((0.0, 0.0, random.expovariate(0.3))), f"{name} joins", _joins(name))
    for _ in range(random.choice((0, 0, 1, 2))):
        schedule.at(random.expovariate(0.2), "coordinator restarts", World.restart_coordinator)
    for _ in range(random.choice((0, 0, 1, 2))):
        schedule.at(random.expovariate(0.2), "supervisor restarts", World.restart_supervisor)
    if random.random() < 0.1:
        schedule.at(random.expovariate(0.2), "clock set back", World.set_clock_back)
    return schedule


def _draw_life(schedule: Schedule, name: str, random: Random) -> None:
    """When a miner joins, and what becomes of it."""
    if name == ANCHOR and says_it_diverges in schedule.cheats.values():
        schedule.at(0.0, f"{name} joins", _joins(name))  # a miner that is alone is believed when it says so twice
        return
    start_s = random.choice((0.0, 0.0, random.expovariate(0.3)))
    schedule.at(start_s, f"{name} joins", _joins(name))
    when_s = start_s + random.expovariate(0.3)
    fate = random.choice(("lives", "lives", "crashes", "flaps", "freezes", "thaws", "parts", "drains"))
    if fate in ("crashes", "flaps"):
        schedule.at(when_s, f"{name} crashes", _if_there(name, World.crash))
        if fate == "flaps" or name == ANCHOR:
            schedule.at(when_s + 1 + random.expovariate(0.5), f"{name} rejoins", _joins(name))
    elif fate in ("freezes", "thaws"):
        schedule.at(when_s, f"{name} freezes", _if_there(name, World.freeze))
        if fate == "thaws":
            schedule.at(when_s + FROZEN_S * random.random(), f"{name} thaws", _if_there(name, World.thaw))
        elif name == ANCHOR:
            schedule.at(when_s + FROZEN_S, f"{name} is given up", _if_there(name, World.crash))
            schedule.at(when_s + FROZEN_S + 2, f"{name} rejoins", _joins(name))
    elif fate == "parts":
        schedule.at(when_s, f"{name} is cut off", _if_there(name, World.cut))
        schedule.at(when_s + 2 * FROZEN_S * random.random(), f"{name} is back", _if_there(name, World.heal))
    elif fate == "drains" and name != ANCHOR:
        schedule.at(when_s, f"{name} drains", _if_there(name, World.drain))


def _joins(name: str) -> Callable[[World], None]:
    return lambda world: None if name in world.miners else world.join(name)


def _if_there(name: str, action: Callable[[World, str], None]) -> Callable[[World], None]:
    return lambda world: action(world, name) if name in world.miners else None


async def play(schedule: Schedule) -> World:
    """Run a schedule to the end of its job."""
    world = schedule.world()

    async def act(when_s: float, action: Callable[[World], object]) -> None:
        await asyncio.sleep(when_s)
        action(world)

    acting = [asyncio.create_task(act(when_s, action)) for when_s, _, action in schedule.events]
    try:
        await world.run()
    finally:
        for task in acting:
            task.cancel()
        for outcome in await asyncio.gather(*acting, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
    return world
