"""From where a coordinator takes a job up: from this machine's journal, or from a stored checkpoint."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.node.ports import Checkpoint, CoordinatorPorts, FlatState, JobProgress, RoundTrainer
from cluster.node.round_journal import RoundJournal
from consensus.primitives.integers import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPoint:
    """What the next round to be run starts from."""

    checkpoint: Checkpoint
    digest: Digest
    earlier: Mapping[int, FlatState] = field(default_factory=dict)
    """States of rounds that are not settled: they need not be run again to be audited."""


async def find_start(
    progress: JobProgress, trainer: RoundTrainer, ports: CoordinatorPorts, journal: RoundJournal | None
) -> StartPoint:
    """Load the trainer with the newest state that leaves nothing unaudited, and say which it is."""
    if journal is not None:
        found = await asyncio.to_thread(_from_journal, progress, trainer, journal)
        if found is not None:
            return found
    checkpoint = await load_checkpoint(progress, trainer, ports)
    return StartPoint(checkpoint=checkpoint, digest=await asyncio.to_thread(trainer.load, checkpoint))


async def load_checkpoint(progress: JobProgress, trainer: RoundTrainer, ports: CoordinatorPorts) -> Checkpoint:
    """The newest checkpoint that no audit has to look behind.

    A last state that an audit took back may still be stored: it is passed over.
    """
    at_most = progress.settled_round
    while (checkpoint := await ports.load_checkpoint(at_most)) is not None:
        is_last = progress.is_closing and checkpoint.round == progress.next_round
        if is_last or trainer.plan.leaves_checkpoint(checkpoint.round - 1):
            return checkpoint
        at_most = checkpoint.round - 1
    return await asyncio.to_thread(trainer.initial)


def _from_journal(progress: JobProgress, trainer: RoundTrainer, journal: RoundJournal) -> StartPoint | None:
    """The newest committed state of the journal, if it has that of every round before which waits for audits, too.

    What it has beyond is forgotten: the chain may have gone back since.
    """
    journal.keep(progress.settled_round, progress.next_round)
    kept = journal.rounds()
    number = max((number for number in kept if journal.has_optimizer(number)), default=None)
    if number is None or any(earlier not in kept for earlier in range(progress.settled_round, number)):
        return None
    try:
        states = {n: journal.load_state(n) for n in range(progress.settled_round, number + 1)}
        checkpoint = Checkpoint(round=number, state=states[number], optimizer=journal.load_optimizer(number))
    except OSError:
        return None
    is_whole = all(trainer.digest(state) == kept[n] for n, state in states.items())
    is_committed = number < progress.next_round or kept[number] == progress.state
    if not is_whole or not is_committed:
        return None
    del states[number]
    return StartPoint(checkpoint=checkpoint, digest=trainer.load(checkpoint), earlier=states)
