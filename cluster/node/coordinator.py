"""One job's coordinator: opens rounds, hands out slots, sums updates in slot order, commits rounds to the chain.

It carries out what cluster.control.rounds decides. It trusts no miner: a report must be signed, answer its own
assignment and name the very bytes that were sent. Whether those bytes are right is for the audits to say. When an audit
finds fraud, or when this process starts again, the job goes back to a checkpoint and runs the same rounds again, which
by invariant 1 gives the same states as before.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from cluster.control.reports import ReportRules
from cluster.control.rounds import (
    Aggregate,
    Assign,
    CallEnded,
    Effect,
    Event,
    MinerExcluded,
    Release,
    RoundDropped,
    RoundOpened,
    RoundState,
    SlotFailed,
    SlotReported,
    Tick,
    step,
)
from cluster.control.slots import Attempt, MinerId
from cluster.logs import about
from cluster.metrics import Meters, NoMeters, job_label
from cluster.node.commits import CommitQueue
from cluster.node.ports import (
    AppliedRound,
    CoordinatorPorts,
    JobOpening,
    JobProgress,
    RoundTrainer,
    StateHandle,
)
from cluster.node.progress import ProgressMeter
from cluster.node.resuming import find_start, load_checkpoint
from cluster.node.round_journal import JournalWriter, RoundJournal
from cluster.node.round_results import (
    RoundResults,
    SlotResult,
    mean_loss_bits,
    slot_commits,
)
from cluster.node.slot_calls import RoundStart, SlotCaller, SlotOutcome
from consensus.crypto.keys import Signer
from consensus.crypto.signing import sign
from consensus.errors import ConsensusError
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from consensus.records.work import Metric, RoundCommit, SlotReport
from consensus.replay.verdict import Outcome
from jobs.errors import DivergedStateError, JobError, TrainingDivergedError
from jobs.float_bits import bits_value

_TICK_S: Final = 0.25
_SETTLE_POLL_S: Final = 0.05
_ATTEMPTS_BITS: Final = 16
"""Attempts of a slot are told apart by so many bits; the rest of the number says how often the job went back."""
_DIVERGENCES: Final = 2
"""So many miners that say a slot diverges end the job; one alone only if there is no other, asked twice."""
_RETAINED_BYTES: Final = 2 * 1024**3
"""Most bytes of states kept for audits; beyond it the next round waits until older ones are settled."""

_log = logging.getLogger("pouw.coordinator")


class CoordinatorNode:
    """Runs one job from its opening to its last round."""

    def __init__(
        self,
        *,
        key: Signer,
        chain_id: Digest,
        opening: JobOpening,
        trainer: RoundTrainer,
        ports: CoordinatorPorts,
        replay_class: Digest,
        journal: RoundJournal | None = None,
        meters: Meters | None = None,
    ) -> None:
        """`replay_class`: that of the verifiers. A report of another class could not be checked."""
        plan = trainer.plan
        self._key, self._chain_id, self._job = key, chain_id, opening.job
        self._trainer, self._ports = trainer, ports
        self._journal = JournalWriter(journal)
        self._caller = SlotCaller(
            key=key,
            chain_id=chain_id,
            job=opening.job,
            rules=ReportRules(chain_id=chain_id, local_steps=plan.local_steps, replay_class=replay_class),
            trainer=trainer,
            ports=ports,
        )
        self._inbox: asyncio.Queue[Event | SlotOutcome] = asyncio.Queue()
        self._rounds = RoundState(slot_count=plan.slots)
        self._results = RoundResults()
        self._handles: dict[int, StateHandle] = {}
        self._commits = CommitQueue(ports)
        self._start: RoundStart | None = None
        self._progress = JobProgress()
        self._epoch = 0
        self._diverged: dict[int, set[MinerId]] = {}
        self._must_go_back = False
        self._is_over = False
        self._calls: set[asyncio.Task[None]] = set()
        self._refused: dict[MinerId, str] = {}
        self.has_work = True
        """Whether a round is to be run, as far as is known: a proven fraud may bring some back."""
        self._waits_for_audits = False
        job = job_label(opening.job.hex())
        self.meter = ProgressMeter(plan=plan, job=job, meters=meters or NoMeters())

    # what others tell and ask the coordinator

    def tell(self, event: Event) -> None:
        """A miner joined, drains or was lost."""
        self._inbox.put_nowait(event)

    def go_back(self, cheat: MinerId) -> None:
        """Fraud was proven: `cheat` is out, and the job is to go on from what the chain still holds."""
        self._must_go_back = True
        self.tell(MinerExcluded(miner=cheat))

    def stop(self) -> None:
        """The job is cancelled or over: no more rounds."""
        self._is_over = True
        self.tell(Tick())

    def state_handle(self, round_number: int) -> StateHandle | None:
        """The state that an unsettled round starts from; None while it is not there (again)."""
        return self._handles.get(round_number)

    @property
    def waiting_cause(self) -> str:
        """What keeps training waiting: `audits`, `supervisor` or `miners`; empty when nothing does."""
        if self._waits_for_audits:
            return "audits"
        if self._commits.is_full:
            return "supervisor"
        return "miners" if self._rounds.waiting_reason else ""

    @property
    def waiting_reason(self) -> str:
        """Why nothing is being trained, in words; empty when something is."""
        match self.waiting_cause:
            case "audits":
                return f"waits for audits: the states of {len(self._handles)} rounds are kept until then"
            case "supervisor":
                return "waits until the supervisor takes up committed rounds"
            case _:
                return self._rounds.waiting_reason

    @property
    def miners(self) -> dict[MinerId, int]:
        """How many slots each miner holds."""
        return dict(self._rounds.miners)

    @property
    def excluded(self) -> dict[MinerId, str]:
        """Miners from which nothing is taken any more, and why."""
        return {miner: self._refused.get(miner, "a replay proved fraud") for miner in self._rounds.excluded}

    # the loop

    async def run(self) -> None:
        """Run rounds, then stay ready to run some again if an audit finds fraud, until `stop` is called.

        Raises:
            ConsensusError: the rounds do not reproduce what the chain holds.
        """
        ticker = asyncio.create_task(self._tick())
        self._commits.start()
        try:
            await self._restore()
            while not self._is_over:
                await self._handle(await self._inbox.get())
            await self._commits.drain()
        finally:
            ticker.cancel()
            for call in self._calls:
                call.cancel()
            await self._commits.stop()
            await self._journal.finish()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.meter.tick()
            if self.has_work and self.waiting_cause:
                self.meter.stalled(_TICK_S)
            self.tell(Tick())

    async def _handle(self, message: Event | SlotOutcome) -> None:
        self._commits.check()
        if self._must_go_back or self._commits.refused is not None:
            await self._restore()
        event = message if not isinstance(message, SlotOutcome) else await self._take_outcome(message)
        if event is None:
            return
        for effect in self._decide(event):
            match effect:
                case Assign():
                    self._begin_call(effect)
                case Release(miner=miner):
                    _log.info("miner %s has nothing left to do here", miner.hex()[:16], extra=about(self._job))
                case Aggregate(winners=winners):
                    await self._finish_round(winners)

    def _decide(self, event: Event) -> tuple[Effect, ...]:
        transition = step(self._rounds, event, self._ports.now_s())
        self._rounds = transition.state
        return transition.effects

    async def _take_outcome(self, outcome: SlotOutcome) -> Event | None:
        """The event that an outcome stands for; of a round that is over, only that its miner is done with it."""
        if isinstance(outcome.event, MinerExcluded):
            self._refused[outcome.event.miner] = outcome.refusal
        self.meter.slot_ended(outcome)
        if outcome.start is not self._start:
            late = outcome.event
            return CallEnded(miner=late.miner) if isinstance(late, SlotReported | SlotFailed) else late
        if outcome.result is not None:
            if self._is_disputed(outcome.start, outcome.result):
                return await self._settle_dispute(outcome.result)
            self._results.add(outcome.result)
        if outcome.diverged is not None and isinstance(outcome.event, SlotFailed):
            await self._note_divergence(outcome.event, outcome.diverged)
        return outcome.event

    def _is_disputed(self, start: RoundStart, result: SlotResult) -> bool:
        return bool(start.committed) and start.committed[result.report.slot] != result.report.update

    async def _settle_dispute(self, result: SlotResult) -> Event:
        """One of two answers is false, this one or the committed one."""
        report, miner = result.report, MinerId(result.report.miner)
        outcome = await self._ports.dispute(encode(result.signed))
        if outcome is Outcome.MISMATCH:
            return MinerExcluded(miner=miner)
        if outcome is Outcome.MATCH:
            await self._check_way_back(report)
            self._must_go_back = True
        return SlotFailed(slot=report.slot, attempt=report.attempt, miner=miner)

    async def _check_way_back(self, report: SlotReport) -> None:
        """What is settled with a false update stands. The job then goes on from a state after it, if one is stored."""
        self._progress = await self._ports.load_progress()
        if report.round >= self._progress.settled_round:
            return
        if (await load_checkpoint(self._progress, self._trainer, self._ports)).round <= report.round:
            raise ConsensusError(f"round {report.round}, slot {report.slot} is settled with a false update")

    async def _note_divergence(self, failed: SlotFailed, error: TrainingDivergedError) -> None:
        """A cheat may say so of any slot, but not make another miner say the same."""
        if not self._rounds.is_open or self._rounds.slots[failed.slot].is_done:
            return
        miners = self._diverged.setdefault(failed.slot, set())
        is_alone_in_it = failed.miner in miners and self._rounds.miners.keys() <= miners
        miners.add(failed.miner)
        if len(miners) >= _DIVERGENCES or is_alone_in_it:
            await self._give_up(error)

    async def _give_up(self, error: JobError) -> None:
        """Say so once all that led to it is committed: the supervisor has it replayed, one forged update may be why."""
        self._is_over = True
        await self._commits.drain()
        await self._ports.fail_job(str(error))

    def _begin_call(self, effect: Assign) -> None:
        assert self._start is not None  # noqa: S101 - slots are handed out in an open round only
        call = asyncio.create_task(self._call(self._start, effect))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, start: RoundStart, effect: Assign) -> None:
        self._inbox.put_nowait(await self._caller.call(start, effect))

    # rounds

    async def _restore(self) -> None:
        """Take up the job from the newest checkpoint that no audit has to look behind."""
        self._must_go_back = False
        self._start = None
        self._decide(RoundDropped())
        await self._commits.drain()
        self._progress = self._commits.progress = await self._ports.load_progress()
        for miner in self._progress.excluded:
            self._decide(MinerExcluded(miner=miner))
        await self._journal.finish()
        start = await find_start(self._progress, self._trainer, self._ports, self._journal.journal)
        checkpoint, digest = start.checkpoint, start.digest
        if checkpoint.round == self._progress.next_round:
            self._check_reproduced(checkpoint.round, digest)
        self._handles = {number: self._ports.publish(state) for number, state in start.earlier.items()}
        self._epoch += 1
        _log.info("running; %d are committed", self._progress.next_round, extra=about(self._job, checkpoint.round))
        self._journal.begin(self._trainer.checkpoint(checkpoint.round), digest, self._progress.settled_round)
        await self._open_round(checkpoint.round, digest, self._ports.publish(checkpoint.state), checkpoint.state.size)

    async def _open_round(self, number: int, digest: Digest, state: StateHandle, numbers: int) -> None:
        self._handles[number] = state
        self.meter.round_opened(number, digest)
        end = self._progress.next_round if self._progress.is_closing else self.meter.plan.rounds
        self.has_work = number < end
        if self.has_work:
            committed = await self._ports.load_updates(number) if number < self._progress.next_round else ()
            self._start = RoundStart(
                epoch=self._epoch, round=number, digest=digest, state=state, numbers=numbers, committed=committed
            )
            self._results.clear()
            self._diverged.clear()
            self.tell(RoundOpened(round=number, first_attempt=self._progress.frauds << _ATTEMPTS_BITS))

    async def _finish_round(self, winners: tuple[Attempt, ...]) -> None:
        assert self._start is not None  # noqa: S101 - a round was open until now
        start, results = self._start, self._results.take_winners(winners)
        await self._journal.finish()
        leaves_checkpoint = self.meter.plan.leaves_checkpoint(start.round)
        applied = await asyncio.to_thread(
            self._trainer.apply, start.round, [r.update for r in results], with_optimizer=leaves_checkpoint
        )
        state = self._ports.publish(applied.state)
        saved = self._trainer.checkpoint(start.round + 1)
        self._journal.begin(saved, applied.state_digest, self._commits.progress.settled_round, self.meter.round_s)
        metrics, diverged = await self._measure(start.round, state)
        loss_bits = mean_loss_bits(results)
        self.meter.round_finished(self._ports.now_s(), bits_value(loss_bits), metrics)
        is_final = start.round == self.meter.plan.rounds - 1 or self.meter.plan.is_reached(metrics)
        commit = RoundCommit(
            job=self._job,
            round=start.round,
            state_in=start.digest,
            state_out=applied.state_digest,
            optimizer_out=applied.optimizer_digest,
            slots=slot_commits(results),
            loss_bits=loss_bits,
            metrics=metrics,
            final=is_final,
        )
        is_new = start.round >= self._progress.next_round
        if is_new and (leaves_checkpoint or is_final):  # what the chain has already left one, which must stay as it is
            await self._ports.save_checkpoint(saved)
        await self._commit(commit, results)
        if diverged is not None:
            await self._give_up(diverged)
            return
        await self._wait_for_audits(applied)
        await self._open_round(start.round + 1, applied.state_digest, state, applied.state.size)

    async def _measure(self, number: int, state: StateHandle) -> tuple[tuple[Metric, ...], DivergedStateError | None]:
        """Figures of a state that was not measured before, or why it has none."""
        if number < self._progress.next_round or not self.meter.plan.is_evaluated(number):
            return (), None
        try:
            return await self._ports.evaluate(state), None
        except DivergedStateError as error:
            return (), error

    async def _commit(self, commit: RoundCommit, results: tuple[SlotResult, ...]) -> None:
        """Hand the round in, or, if the chain has it already, hold it against that."""
        if commit.round >= self._progress.next_round:
            message = encode(sign(self._key, self._chain_id, commit))
            await self._commits.put(message, tuple(encode(r.signed) for r in results))
            if commit.final:
                self._progress = replace(self._progress, is_closing=True, next_round=commit.round + 1)
        elif commit.round == self._progress.next_round - 1:
            self._check_reproduced(commit.round + 1, commit.state_out)

    def _check_reproduced(self, number: int, digest: Digest) -> None:
        if self._progress.state not in (None, digest):
            found, committed = digest.hex()[:16], (self._progress.state or b"").hex()[:16]
            raise ConsensusError(f"round {number} would start from state {found} but {committed} is committed")

    async def _wait_for_audits(self, applied: AppliedRound) -> None:
        """Let go of settled states; wait while too many are not settled."""
        limit = max(2, _RETAINED_BYTES // max(1, applied.state.nbytes))
        while True:
            for number in [n for n in self._handles if n < self._commits.progress.settled_round]:
                del self._handles[number]
            self.meter.states_kept(len(self._handles) * applied.state.nbytes)
            must_stop = self._must_go_back or self._is_over or self._commits.refused is not None
            if len(self._handles) < limit or must_stop:
                self._waits_for_audits = False
                return
            self._waits_for_audits = True
            await asyncio.sleep(_SETTLE_POLL_S)
            self._commits.progress = await self._ports.load_progress()
