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

    @property
    def id(self) -> MinerId:
        return MinerId(self.node.public_key)

    async def pass_time(self, delay_s: float) -> None:
        """The time a slot takes. A crash ends it, a frozen miner takes for ever. Raises MinerGoneError."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), delay_s)
        if not self.thawed.is_set():
            waits = [asyncio.ensure_future(event.wait()) for event in (self.gone, self.thawed)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if self.gone.is_set():
            raise MinerGoneError(self.name)


def start_miner(name: str, genesis: Genesis, opening: JobOpening) -> Miner:
    """A miner that is prepared for a job."""
    node = MinerNode(key=secret_key(name), chain_id=genesis.chain_id, params=genesis.params)
    node._job = _Prepared(opening=opening, runner=HashRunner(), replay_class=REPLAY_CLASS)
    miner = Miner(name, node)
    miner.thawed.set()
    return miner


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """What a miner node keeps of the job it is prepared for."""

    opening: JobOpening
    runner: HashRunner
    replay_class: bytes
