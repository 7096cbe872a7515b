"""The process of a miner in a simulated site: a real miner node that hashes instead of training, and may fail."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from cluster.control.slots import MinerId
from cluster.node.miner import MinerNode
from cluster.node.ports import JobOpening, MinerGoneError
from consensus.records.genesis import Genesis
from tests.kit.genesis import secret_key
from tests.kit.hashed_training import REPLAY_CLASS, HashRunner


@dataclass(eq=False)
class Miner:
    """One process of a miner; it does not survive a crash, its name and key do."""

    name: str
    node: MinerNode
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    linked: asyncio.Event = field(default_factory=asyncio.Event)
    """Whether messages to and from it arrive."""

    @property
    def id(self) -> MinerId:
        return MinerId(self.node.public_key)

    async def pass_time(self, delay_s: float) -> None:
        """The time a slot takes. A crash ends it, a frozen miner takes for ever. Raises MinerGoneError."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), delay_s)
        await self._wait_for(self.thawed)

    async def cross(self) -> None:
        """A message goes to it or comes from it: late, if the link is cut. Raises MinerGoneError."""
        await self._wait_for(self.linked)

    async def _wait_for(self, event: asyncio.Event) -> None:
        if not event.is_set():
            waits = [asyncio.ensure_future(one.wait()) for one in (self.gone, event)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if self.gone.is_set():
            raise MinerGoneError(self.name)


def start_miner(name: str, genesis: Genesis, opening: JobOpening) -> Miner:
    """A miner that is prepared for a job."""
    node = MinerNode(key=secret_key(name), chain_id=genesis.chain_id, params=genesis.params)
    node._jobs[opening.job] = _Prepared(opening=opening, runner=HashRunner(), replay_class=REPLAY_CLASS)
    miner = Miner(name, node)
    miner.thawed.set()
    miner.linked.set()
    return miner


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """What a miner node keeps of the job it is prepared for."""

    opening: JobOpening
    runner: HashRunner
    replay_class: bytes
