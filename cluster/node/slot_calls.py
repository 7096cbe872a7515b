"""Asking one miner to run one slot, and judging what comes back as far as that needs no replay."""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cluster.control.reports import ReportRules, check_report
from cluster.control.rounds import Assign, Event, MinerExcluded, MinerLost, SlotFailed, SlotReported
from cluster.logs import about
from cluster.node.ports import (
    CoordinatorPorts,
    FlatState,
    MinerGoneError,
    MinerReplacedError,
    RoundTrainer,
    SlotReply,
    StateHandle,
)
from cluster.node.round_results import SlotResult
from consensus.crypto.keys import Signer
from consensus.crypto.signing import decode_signed, sign
from consensus.errors import ConsensusError, InvalidReportError, Reject
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.work import Assignment, SlotReport
from jobs.errors import TrainingDivergedError

SMALL_BYTES: Final = 1024 * 1024
"""An update up to this size is hashed sooner than a thread takes it up, and sent sooner than shared."""

_log = logging.getLogger("pouw.coordinator")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStart:
    """The round that slots are handed out for. `epoch` tells runs of the same round apart after going back."""

    epoch: int
    round: int
    digest: Digest
    state: StateHandle
    numbers: int
    """How many float32 numbers the state has, and so every update."""
    committed: tuple[Digest, ...] = ()
    """The updates that the chain has for this round already, in slot order; none for a round that is run first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOutcome:
    """What became of one handing-out of a slot."""

    start: RoundStart
    event: Event
    result: SlotResult | None = None
    diverged: TrainingDivergedError | None = None
    refusal: str = ""
    """Why a report was refused."""
    began_s: float = 0.0
    ended_s: float = 0.0
    """When the slot was asked for and when its answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCaller:
    """Signs assignments in the coordinator's name."""

    key: Signer
    chain_id: Digest
    job: Digest
    rules: ReportRules
    trainer: RoundTrainer
    ports: CoordinatorPorts

    async def call(self, start: RoundStart, effect: Assign) -> SlotOutcome:
        """Have the slot run. A miner that is gone, diverges, fails or cheats gives the event that says so."""
        began_s = self.ports.now_s()
        outcome = await self._run(start, effect)
        return replace(outcome, began_s=began_s, ended_s=self.ports.now_s())

    async def _run(self, start: RoundStart, effect: Assign) -> SlotOutcome:
        assignment = Assignment(
            job=self.job,
            round=start.round,
            slot=effect.slot,
            attempt=effect.attempt,
            miner=PublicKey(effect.miner),
            state=start.digest,
        )
        message = encode(sign(self.key, self.chain_id, assignment))
        failed = SlotFailed(slot=effect.slot, attempt=effect.attempt, miner=effect.miner)
        try:
            reply = await self.ports.run_slot(effect.miner, message, start.state)
        except MinerGoneError:
            return SlotOutcome(start=start, event=MinerLost(miner=effect.miner))
        except MinerReplacedError:
            return SlotOutcome(start=start, event=failed)
        except TrainingDivergedError as error:
            return SlotOutcome(start=start, event=failed, diverged=error)
        except Exception:  # noqa: BLE001 - whatever a miner raises, it costs one slot and not the job
            where = about(self.job, start.round, effect.slot)
            _log.exception("miner %s could not run the slot", effect.miner.hex()[:16], extra=where)
            return SlotOutcome(start=start, event=failed)
        return await self._judge(start, effect, assignment, reply)

    async def _judge(self, start: RoundStart, effect: Assign, assignment: Assignment, reply: SlotReply) -> SlotOutcome:
        try:
            signed = decode_signed(reply.report)
            report = check_report(signed, assignment, self.rules)
            _check_size(reply.update, start.numbers)
            if reply.update.nbytes <= SMALL_BYTES:
                check_bytes(reply.update, report, self.trainer)
            else:
                await asyncio.to_thread(check_bytes, reply.update, report, self.trainer)
        except ConsensusError as error:
            where = about(self.job, start.round, effect.slot)
            _log.warning("refused a report of %s: %s", effect.miner.hex()[:16], error, extra=where)
            return SlotOutcome(start=start, event=MinerExcluded(miner=effect.miner), refusal=str(error))
        event = SlotReported(slot=effect.slot, attempt=effect.attempt, miner=effect.miner)
        return SlotOutcome(
            start=start, event=event, result=SlotResult(signed=signed, report=report, update=reply.update)
        )


def _check_size(update: FlatState, numbers: int) -> None:
    """Raises InvalidReportError(UPDATE). The trainer could not add it to the others, and the job would fail with it."""
    if not isinstance(update, np.ndarray) or update.dtype != np.float32 or update.shape != (numbers,):
        raise InvalidReportError(Reject.UPDATE, expected=numbers, actual=getattr(update, "shape", type(update)))


def check_bytes(update: FlatState, report: SlotReport, trainer: RoundTrainer) -> None:
    """Raises InvalidReportError(UPDATE): these are not the bytes that were signed for."""
    found = trainer.digest(update)
    if found != report.update:
        raise InvalidReportError(Reject.UPDATE, expected=report.update, actual=found)
