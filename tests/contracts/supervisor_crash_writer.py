"""Runs a supervisor over LMDB as fast as it can and says what it acknowledged, until it is killed.

Run by test_supervisor_crash.py. What a writer says: `T` a transaction, `J` a job, `R` reports of a round, `B` a block.
"""

import sys
from pathlib import Path
from random import Random  # noqa: TID251 - from the number of the run

from consensus.crypto.signing import decode_signed
from consensus.errors import RejectedError
from consensus.ledger.entries import JobStatus
from consensus.primitives.encoding import decode, encode
from consensus.records.transactions import JobId
from consensus.records.work import SlotReport
from consensus.replay.verdict import Outcome
from storage.lmdb_kv import LmdbStore
from tests.kit.genesis import make_params
from tests.kit.node import NodeSite
from tests.kit.nursery import say, serve
from tests.kit.work import make_commit

PARAMS = make_params(difficulty_half_life_ms=10**12)
"""Mined blocks come much faster here than a clock that jumps would allow."""
_LONG_JOB = 1_000


class Writer:
    """Clients, a coordinator, miners and auditors of one site."""

    def __init__(self, folder: Path, run: int) -> None:
        self.random = Random(run)
        self.run, self.turn = run, 0
        self.site = NodeSite(LmdbStore.open(folder, initial_size_bytes=64 << 10), PARAMS)
        self.site.now_ms = max(self.site.now_ms, self.site.node.chain.view.tip_time_ms)
        self.jobs: list[JobId] = [job for job, account in self.site.state.jobs.items() if account.is_open]

    def write_forever(self) -> None:
        while True:
            self.turn += 1
            self.act()

    def act(self) -> None:
        action = self.random.choice(
            (self.pay, self.pay, self.commit, self.commit, self.commit, self.append, self.audit, self.mine, self.end)
        )
        try:
            action()
        except RejectedError as error:
            say(f"# {action.__name__}: {error}")

    def pay(self) -> None:
        say(f"T {self.site.transfer(1).hex()}")

    def job(self) -> JobId:
        jobs = [job for job in self.jobs if self.site.node.pool.state.jobs[job].is_open]
        if jobs and self.random.random() < 0.95:
            return self.random.choice(jobs)
        job = self.site.submit_job(rounds=_LONG_JOB, audit_ppm=500_000, name=f"job {self.run} {self.turn}")
        say(f"J {job.hex()}")
        self.site.node.start_job(job, self.coordinator)
        self.append()
        self.jobs.append(job)
        return job

    @property
    def coordinator(self) -> bytes:
        return self.site.sign("coordinator", self.site.genesis).signer

    def commit(self) -> None:
        job = self.job()
        number = self.site.node.progress(job).next_round
        reports = self.site.reports(job, number, ("miner", "rival", "third"), f"{self.run} {self.turn}")
        self.site.hand_in(reports, make_commit(job, number, reports))
        say("R " + " ".join(report.digest.hex() for report in reports))

    def append(self) -> None:
        if self.site.block():
            self.say_tip()

    def say_tip(self) -> None:
        view = self.site.node.chain.view
        say(f"B {self.site.node.chain.height} {view.tip_hash.hex()}")

    def audit(self) -> None:
        due = self.site.node.next_audit()
        if due is not None:
            is_forged = due[1].miner == self.site.report(due[0].job, 0, 0, "third").signer and self.turn % 7 == 0
            outcome = Outcome.MISMATCH if is_forged else Outcome.MATCH
            self.site.node.record_audit(due[0], self.site.verdict(due[0], outcome))

    def mine(self) -> None:
        candidate = self.site.node.offer(encode(self.site.mine(self.job(), salt=f"{self.run} {self.turn}")))
        assert candidate.replay is not None
        report = decode(decode_signed(candidate.replay.report).body, SlotReport)
        self.site.node.accept(candidate, self.site.verdict_on(report))
        self.say_tip()

    def end(self) -> None:
        if self.random.random() < 0.1:
            say(f"T {self.site.cancel(self.job()).hex()}")
        for job, outcome, reason in self.site.node.closable():
            self.site.node.close_job(job, JobStatus(outcome), reason, ())


def write(folder: Path, run: int) -> None:
    """Until it is killed."""
    Writer(folder / "chain", run).write_forever()


if __name__ == "__main__":
    assert "torch" not in sys.modules
    assert "ray" not in sys.modules
    serve(write)
