"""A miner without Ray: runs the slots it is given, reports them signed, and looks for a block in what they produced."""

import logging
from dataclasses import dataclass, field
from typing import Final

from cluster.logs import about
from cluster.node.ports import FlatState, JobOpening, SlotReply
from cluster.node.training import Segments, job_program, open_part
from consensus.crypto.keys import Signer
from consensus.crypto.signing import Signed, decode_signed, open_signed, sign
from consensus.errors import InvalidReportError, Reject
from consensus.params import ConsensusParams
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.block import Block
from consensus.records.work import Assignment, SlotReport
from jobs.determinism import describe
from jobs.mining.search import build_report, find_seal
from jobs.mining.templates import Template, TemplateBook
from jobs.training.slot import SlotRunner

_KEPT_JOBS: Final = 2
"""Jobs that stay prepared: a miner that goes to and fro between two builds neither model again."""

_log = logging.getLogger("pouw.miner")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    opening: JobOpening
    runner: SlotRunner
    replay_class: Digest


@dataclass(slots=True, kw_only=True)
class MinerNode:
    """One miner with its key."""

    key: Signer
    chain_id: Digest
    params: ConsensusParams
    threads: int = 1
    slots_run: int = 0
    templates: TemplateBook = field(default_factory=TemplateBook)
    _jobs: dict[Digest, _Job] = field(default_factory=dict)
    """Prepared jobs, the one prepared last at the end."""

    @property
    def public_key(self) -> PublicKey:
        """Who this miner is."""
        return self.key.public_key

    def prepare(self, opening: JobOpening, segments: Segments) -> None:
        """Get ready for a job's slots: build the model, check the training data against the dataset root.

        Raises:
            JobError: spec, data or model are not usable here.
        """
        program = job_program(opening)
        runner = SlotRunner(program, open_part(program, "train", segments), threads=self.threads)
        self._jobs.pop(opening.job, None)
        self._jobs[opening.job] = _Job(opening=opening, runner=runner, replay_class=describe(program).digest)
        while len(self._jobs) > _KEPT_JOBS:
            del self._jobs[next(iter(self._jobs))]

    def is_prepared(self, opening: JobOpening) -> bool:
        """Whether slots of this job can be run as it was opened; if so it is kept as the latest."""
        known = self._jobs.get(opening.job)
        if known is None or known.opening != opening:
            return False
        self._jobs[opening.job] = self._jobs.pop(opening.job)
        return True

    def run_slot(
        self, message: bytes, state: FlatState, *, update_out: FlatState | None = None
    ) -> tuple[SlotReply, bytes | None]:
        """Run the slot of a signed assignment. Returns the reply, and a sealed block if a nonce was found.

        `update_out`: memory for the update, else fresh memory.

        Raises:
            SignatureError, EncodingError: not an assignment of this job's coordinator.
            InvalidReportError: SLOT_OWNER, the assignment is for another miner; JOB_UNKNOWN, for another job.
            TrainingDivergedError: the loss is not finite.
        """
        signed = decode_signed(message)
        assignment = open_signed(signed, Assignment, self.chain_id)
        job = self._job_of(signed, assignment)
        result = job.runner.run(state, assignment.state, assignment.round, assignment.slot, update_out=update_out)
        self.slots_run += 1
        template = self.templates.to_commit()
        report = build_report(
            assignment, result, replay_class=job.replay_class, template=template.header if template else None
        )
        signed_report = sign(self.key, self.chain_id, report)
        block = self._mine(signed, report, signed_report)
        if template is not None:
            self.templates.committed(template, assignment.job, assignment.round, assignment.slot, signed_report)
        return SlotReply(report=encode(signed_report), update=result.update), block

    def _job_of(self, signed: Signed, assignment: Assignment) -> _Job:
        job = self._jobs.get(assignment.job)
        if job is None or job.opening.coordinator != signed.signer:
            raise InvalidReportError(Reject.JOB_UNKNOWN, job=assignment.job, coordinator=signed.signer)
        if assignment.miner != self.public_key:
            raise InvalidReportError(Reject.SLOT_OWNER, expected=self.public_key, actual=assignment.miner)
        return job

    def _mine(self, assignment: Signed, report: SlotReport, signed_report: Signed) -> bytes | None:
        usable = self.templates.usable(report.job, report.round, self.params.commit_lead)
        if usable is None:
            return None
        header = usable.template.header
        seal = find_seal(assignment, report, signed_report, commitment=usable.report, header=header, params=self.params)
        if seal is None:
            return None
        _log.info("found a block at height %d", header.height, extra=about(report.job, report.round, report.slot))
        self.templates.drop()
        return encode(Block(header=header, seal=encode(seal), transactions=usable.template.transactions))

    def offer_template(self, template: Template) -> None:
        """A fresh header from the supervisor."""
        self.templates.offer(template)
