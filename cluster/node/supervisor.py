"""A supervisor without its clock, network or Ray: takes transactions, rounds and blocks, audits, settles, closes jobs.

Everything it acknowledges is durable first. What needs a replay is handed out (`next_audit`, a candidate's request) and
comes back as a verdict; until then nothing counts.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cluster.control.audits import SlotRef
from cluster.control.pacing import RoundPace
from cluster.control.reports import check_committed_reports
from cluster.control.slots import MinerId
from cluster.logs import about
from cluster.node.chain_service import ChainService
from cluster.node.mempool import Mempool
from cluster.node.messages import open_message
from cluster.node.node_stores import NodeStores
from cluster.node.ports import JobProgress
from cluster.node.storage_work import has_open_challenge
from cluster.node.tallies import Tallies
from cluster.node.work_memory import WorkMemory, accused_report
from consensus.chain.acceptance import Candidate, assemble_template, judge
from consensus.crypto.keys import Signer
from consensus.crypto.signing import Signed, decode_signed, sign
from consensus.errors import InvalidBlockError, InvalidTransactionError, Reject, RejectedError
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.ledger.state import has_open_work
from consensus.ledger.transition import OpenTransaction, open_transaction
from consensus.mechanisms.authority.seal import seal_header
from consensus.primitives.encoding import Record, decode, encode
from consensus.primitives.integers import Digest, Height, PublicKey, TimeMs
from consensus.records.block import Block, Header
from consensus.records.genesis import Genesis
from consensus.records.transactions import (
    CloseJob,
    JobId,
    ProveFraud,
    SettleRounds,
    StartJob,
    SubmitJob,
    Transaction,
)
from consensus.records.work import Metric, RoundCommit, SlotReport
from consensus.replay.verdict import Outcome, Verdict
from jobs.mining.templates import Template

_HEADER_ROOM: Final = 65_536
"""Bytes of a block left for its header and seal."""

_log = logging.getLogger("pouw.supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fraud:
    """A miner was caught: the coordinator of the job has to go back."""

    job: Digest
    round: int
    miner: MinerId


class SupervisorNode:
    """One full node with a seat in the committee."""

    def __init__(self, *, key: Signer, genesis: Genesis, stores: NodeStores, clock_ms: Callable[[], TimeMs]) -> None:
        self._key, self._stores, self._clock_ms = key, stores, clock_ms
        self.memory = WorkMemory()
        self.audits, self.tallies = self.memory.audits, Tallies()
        self.chain = ChainService(genesis=genesis, store=stores.chain, work=self.memory.history)
        self.pool = Mempool(self.chain.view)
        self._pace = RoundPace()
        self._failures: dict[JobId, str] = {}
        self._recover()

    # taking things in

    def submit(self, data: bytes) -> Digest:
        """Acknowledge a signed transaction: it is durable and will be in a block. Again is no error.

        Raises:
            EncodingError: not a signed message.
            InvalidTransactionError: it breaks a rule.
        """
        digest = decode_signed(data, limit=self.chain.view.params.max_transaction_bytes).digest
        if not self._is_known(digest):
            self._admit(self.chain.opener.open(data, self.chain.view.context))
        return digest

    def commit_round(self, data: bytes, reports: Sequence[bytes]) -> JobProgress:
        """Acknowledge a finished round with the signed slot reports it names.

        Raises:
            EncodingError: a message is malformed.
            InvalidReportError: REPORT_SHAPE, the reports are not those of the commit.
            InvalidTransactionError: the commit breaks a rule.
        """
        signed = decode_signed(data)
        commit = decode(signed.body, RoundCommit)
        opened = [decode_signed(report) for report in reports]
        check_committed_reports(commit, opened, self.chain.chain_id)
        if not self._is_known(signed.digest):
            self._admit(self.chain.opener.open(data, self.chain.view.context), reports=opened)
            self._pace.note(commit.job, self._clock_ms())
        return self.progress(commit.job)

    def progress(self, job: JobId) -> JobProgress:
        """How far a job's committed rounds go, those that wait included.

        Raises:
            InvalidTransactionError: JOB_UNKNOWN.
        """
        account = self.pool.state.jobs.get(job)
        if account is None:
            raise InvalidTransactionError(Reject.JOB_UNKNOWN, job=job)
        final = self.chain.view.state.jobs.get(job, account)
        return JobProgress(
            next_round=account.next_round,
            settled_round=final.settled_round,
            state=account.state,
            is_closing=account.closing,
            excluded=tuple(MinerId(key) for key in self.excluded),
            frauds=self.tallies.frauds[job] + sum(m.job == job for m in self.pool.messages(ProveFraud)),
        )

    # blocks

    def template(self, producer: PublicKey) -> Template | None:
        """A header for `producer` to commit to and mine with; None for an excluded miner."""
        if producer in self.memory.excluded:
            return None
        return self._assemble(producer, "pouw")

    def offer(self, data: bytes) -> Candidate:
        """Judge a mined block, but for its replay. Raises InvalidBlockError."""
        return self.chain.check(data, self._clock_ms())

    def accept(self, candidate: Candidate, verdict: Verdict | None) -> None:
        """Make a candidate final. `verdict` is what its replay came to, None if it asked for none.

        Raises:
            InvalidBlockError: the replay differs, the tip has moved on meanwhile (PARENT), or evidence against the
                producer waits for a block (MINER_EXCLUDED).
        """
        header = candidate.block.header
        if header.producer in self.memory.excluded:
            raise InvalidBlockError(Reject.MINER_EXCLUDED, miner=header.producer)
        if header.parent != self.chain.view.tip_hash:
            raise InvalidBlockError(Reject.PARENT, expected=self.chain.view.tip_hash, actual=header.parent)
        if candidate.replay is not None:
            if verdict is None:
                raise InvalidBlockError(Reject.REPLAY_CLASS, detail="not replayed")
            judge(candidate, verdict)
        self._append(candidate)

    def append_quiet_block(self) -> bool:
        """Append an authority block if transactions wait and no mined block can be expected. Whether one was.

        Settlements that are due are made first: one may have been missed when the node stopped or its disk was full.
        """
        self._settle_all()
        if not len(self.pool) or not self._is_quiet():
            return False
        template = self._assemble(self._key.public_key, "authority")
        seal = seal_header(self._key, self.chain.chain_id, template.header)
        block = Block(header=template.header, seal=seal, transactions=template.transactions)
        try:
            candidate = self.chain.check(encode(block), self._clock_ms())
        except InvalidBlockError as error:
            if error.code in (Reject.AUTHORITY_NOT_DUE, Reject.TIME_IN_FUTURE):  # the clock may have been set back
                return False
            raise
        self._append(candidate)
        return True

    # audits

    def next_audit(self) -> tuple[SlotRef, SlotReport] | None:
        """The oldest slot that has to be replayed, with the report it is held against."""
        slot = self.audits.next_due()
        if slot is None:
            return None
        return slot, decode(self._stores.reports.load_report(slot.report).body, SlotReport)

    def record_audit(self, slot: SlotRef, verdict: Verdict) -> Fraud | None:
        """Note what an audit came to. A mismatch goes on the chain as evidence; an inconclusive one stays due."""
        match verdict.outcome:
            case Outcome.MATCH:
                self.audits.record_match(slot)
                self.settle(slot.job)
            case Outcome.MISMATCH:
                return self.prove_fraud(self._stores.reports.load_report(slot.report), verdict)
            case Outcome.INCONCLUSIVE:
                self.postpone_audit(slot, f"inconclusive: {verdict.detail}")
        return None

    def postpone_audit(self, slot: SlotRef, why: str = "") -> None:
        """The state of this slot's round is not to be had yet, or only another replay class can tell."""
        self.audits.put_back(slot, why)

    def prove_fraud(self, report: Signed, verdict: Verdict) -> Fraud | None:
        """Put a report whose replay differs on the chain; None if the ledger does not take it (any more)."""
        where = about(verdict.job, verdict.round, verdict.slot)
        message = ProveFraud(job=verdict.job, report=encode(report), code=(verdict.code or Reject.UPDATE).value)
        try:
            self._submit_own(message)
        except RejectedError as error:
            _log.warning("evidence against %s was not taken: %s", report.signer.hex()[:16], error, extra=where)
            return None
        _log.warning("fraud by %s: %s", report.signer.hex()[:16], verdict.code, extra=where)
        return Fraud(job=verdict.job, round=verdict.round, miner=MinerId(report.signer))

    def settle(self, job: JobId) -> None:
        """Pay for the rounds whose audits are done, once a block."""
        found = self.audits.settleable(job)
        account = self.pool.state.jobs.get(job)
        if found is None or account is None or account.status is not JobStatus.RUNNING:
            return
        upto, audited = found
        if upto > account.settled_round and not self._is_settling(job):
            self._submit_own(SettleRounds(job=job, upto=upto, audited=audited))

    def _is_settling(self, job: JobId) -> bool:
        return any(message.job == job for message in self.pool.messages(SettleRounds))

    def _settle_all(self) -> None:
        for job, account in self.pool.state.jobs.items():
            if account.status is JobStatus.RUNNING:
                self.settle(job)

    # the life of jobs

    def start_job(self, job: JobId, coordinator: PublicKey) -> None:
        """Open a queued job, or name the coordinator of a running one again. Raises InvalidTransactionError."""
        account = self.pool.state.jobs.get(job)
        if account is not None and account.status is JobStatus.RUNNING and account.coordinator == coordinator:
            return
        self._submit_own(StartJob(job=job, coordinator=coordinator))

    def is_started(self, job: JobId, coordinator: PublicKey) -> bool:
        """Whether a final block names this coordinator for the job."""
        account = self.chain.view.state.jobs.get(job)
        return account is not None and account.coordinator == coordinator

    def fail_job(self, job: JobId, reason: str) -> None:
        """A job cannot go on: close it once its rounds are settled, for which all their slots have to be replayed.

        One forged update is enough to make training diverge. If that is why, the job goes on without the cheat.
        """
        self._failures[job] = reason
        self.audits.suspect(job)

    def closable(self) -> list[tuple[JobId, JobStatus, str]]:
        """Jobs that have to be closed now, with the outcome and its reason."""
        state = self.pool.state
        due: list[tuple[JobId, JobStatus, str]] = []
        for job, account in state.jobs.items():
            if account.status is not JobStatus.RUNNING or account.settled_round != account.next_round:
                continue
            if account.cancelled:
                due.append((job, JobStatus.CANCELLED, "cancelled by its client"))
            elif job in self._failures:
                due.append((job, JobStatus.FAILED, self._failures[job]))
            elif account.closing:
                due.append((job, JobStatus.COMPLETED, ""))
        return due

    def close_job(self, job: JobId, outcome: JobStatus, reason: str, metrics: tuple[Metric, ...]) -> None:
        """End a job whose rounds are settled. Raises InvalidTransactionError."""
        self._submit_own(CloseJob(job=job, outcome=outcome.value, reason=reason[:500], metrics=metrics))

    @property
    def excluded(self) -> tuple[PublicKey, ...]:
        """Miners whose fraud is proven, evidence that waits for a block included."""
        return tuple(sorted(self.memory.excluded))

    def arrival(self, job: JobId) -> int:
        """A job's place in the order of arrival."""
        return self._stores.jobs.arrival(job) or 0

    def job(self, job: JobId) -> JobAccount | None:
        """A job as it will be once all that waits is in a block."""
        return self.pool.state.jobs.get(job)

    # inside

    @property
    def public_key(self) -> PublicKey:
        """Its account."""
        return self._key.public_key

    def try_own(self, message: Record) -> None:
        """Hand in a transaction of this node. One that the ledger refuses by now is not wanted any more."""
        try:
            self._submit_own(message)
        except InvalidTransactionError as error:
            _log.info("%s was not taken: %s", type(message).__name__, error)

    def _submit_own(self, message: Record) -> None:
        self.submit(encode(sign(self._key, self.chain.chain_id, message)))

    def _is_known(self, digest: Digest) -> bool:
        return digest in self.pool or self._stores.chain.height_of_transaction(digest) is not None

    def _admit(self, transaction: OpenTransaction, reports: Sequence[Signed] = ()) -> None:
        """Store, then take up. If the store fails nothing has changed, but for a job's place in the row."""
        state = self.pool.preview(transaction)
        if isinstance(transaction.message, SubmitJob):
            self._stores.jobs.note_arrival(transaction.envelope.digest)
        self._stores.mempool.add(transaction.envelope, reports)
        self.pool.add(transaction, state)
        self._note(transaction.message)

    def _note(self, message: Transaction) -> None:
        self.memory.note(message)
        if isinstance(message, RoundCommit | ProveFraud | CloseJob):  # a job that commits a round goes on after all
            self._failures.pop(message.job, None)
        if isinstance(message, CloseJob):
            self._pace.forget(message.job)

    def _assemble(self, producer: PublicKey, mechanism: str) -> Template:
        view = self.chain.view
        transactions = self.pool.select(view.params.max_block_bytes - _HEADER_ROOM)
        time_ms = TimeMs(max(self._clock_ms(), view.tip_time_ms + 1))
        header: Header = assemble_template(view, transactions, producer, mechanism, time_ms)
        return Template(header=header, transactions=transactions)

    def _is_quiet(self) -> bool:
        view, state = self.chain.view, self.pool.state
        return self._pace.is_quiet(
            self._clock_ms() - view.tip_time_ms,
            view.params.quiet_after_ms,
            is_challenged=has_open_challenge(state, self.chain.height),
            can_mine=has_open_work(view.state) and has_open_work(state),
        )

    def _append(self, candidate: Candidate) -> None:
        self.chain.append(candidate, [self.chain.endorse(self._key, candidate.block)])
        context = self.chain.view.context
        opened = [self.chain.opener.open(data, context) for data in candidate.block.transactions]
        foreign = [t.message for t in opened if t.envelope.digest not in self.pool]
        dropped = self.pool.rebase(self.chain.view, [transaction.envelope.digest for transaction in opened])
        messages = [transaction.message for transaction in opened]
        self.tallies.add_block(candidate.block, messages)
        for message in foreign:
            self._note(message)
        self._add_final(messages, candidate.block.header.height, self._discarded_rounds())
        if any(isinstance(t.message, RoundCommit | ProveFraud | CloseJob) for t in dropped):
            self._remember()
        if dropped:
            self._stores.mempool.remove(transaction.envelope.digest for transaction in dropped)
        self._settle_all()

    def _add_final(self, messages: Sequence[Transaction], height: Height, discarded: Mapping[JobId, int]) -> None:
        """The beacon of the block that holds a round's commit says which of its slots are replayed."""
        beacon = self.chain.beacon(height)
        if beacon is None:
            raise LookupError(f"no beacon is stored for height {height}")
        jobs = self.chain.view.state.jobs
        for message in messages:
            self.memory.add_final(message, beacon, lambda job: jobs[job].audit_ppm, discarded)

    def _discarded_rounds(self) -> dict[JobId, int]:
        """By job, the first round that waiting evidence takes back."""
        rounds: dict[JobId, int] = {}
        for message in self.pool.messages(ProveFraud):
            number = accused_report(message).round
            rounds[message.job] = min(number, rounds.get(message.job, number))
        return rounds

    def _recover(self) -> None:
        """Rebuild from the stores what is kept in memory only."""
        for signed in self._stores.mempool.load_waiting():
            self._readmit(signed)
        self._remember()

    def _readmit(self, signed: Signed) -> None:
        try:
            transaction = open_transaction(signed, self.chain.view.context)
            self.pool.add(transaction, self.pool.preview(transaction))
        except InvalidTransactionError as error:
            _log.warning("a stored transaction is not valid any more: %s", error)
            self._stores.mempool.remove([signed.digest])

    def _remember(self) -> None:
        """Derive what is remembered of rounds from the chain and what waits, in order."""
        self.memory.clear()
        self.tallies = Tallies()
        for height in range(1, self.chain.height + 1):
            block = self._stores.chain.load_block(Height(height))
            messages = [open_message(decode_signed(data)) for data in block.transactions]
            self.tallies.add_block(block, messages)
            for message in messages:
                self.memory.note(message)
                self._add_final([message], Height(height), {})
        for message in self.pool.all_messages():
            self.memory.note(message)
