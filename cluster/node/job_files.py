"""A supervisor's files of jobs: specs, dataset segments, checkpoints and final weights, found by what the chain names.

The test part is handed out only once a job takes no more rounds, so that nobody can train on it.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from cluster.errors import ConflictError, NotFoundError, UsageError
from cluster.node.buffers import bytes_of
from cluster.node.node_stores import NodeStores
from cluster.node.ports import Checkpoint, JobOpening
from cluster.node.supervisor import SupervisorNode
from cluster.node.training import Segments
from cluster.storage_terms import storage_terms
from cluster.views import JobView
from consensus.chain.genesis import job_beacon
from consensus.crypto.signing import decode_signed, open_signed
from consensus.errors import ConsensusError
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest
from consensus.records.transactions import JobId, SubmitJob
from jobs.data.manifest import DatasetManifest, PartName, check_manifest
from jobs.determinism import configured_class
from jobs.errors import JobError
from jobs.layout import decode_layout, optimizer_binding
from jobs.spec.canonical import parse_spec
from jobs.spec.job import MinersSpec
from storage.artifacts import ArtifactStore
from storage.job_store import CheckpointRef

_PARTS: Final[tuple[PartName, ...]] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """Reads and writes what jobs need beside the chain."""

    node: SupervisorNode
    stores: NodeStores
    artifacts: ArtifactStore
    _limits: dict[Digest, MinersSpec] = field(default_factory=dict)

    def check_submission(self, transaction: bytes, spec: bytes, manifest: bytes) -> JobId:
        """Keep a job's spec and manifest if they are what its transaction pays for and its data is here.

        Raises:
            UsageError: they contradict each other.
            ConflictError: segments are missing, or the job asks for another replay class than the site's.
        """
        signed = decode_signed(transaction)
        try:
            message = open_signed(signed, SubmitJob, self.node.chain.chain_id)
            parsed, dataset = parse_spec(spec), decode(manifest, DatasetManifest)
            check_manifest(dataset)
        except (ConsensusError, JobError) as error:
            raise UsageError(f"the job cannot be taken: {error}", code="job-spec") from error
        train = parsed.train
        promised = (bulk_digest(spec), dataset.root, train.rounds, train.slots, parsed.verify.audit_ppm)
        said = (message.spec, message.dataset, message.rounds, message.slots, message.audit_ppm)
        if promised != said or storage_terms(parsed) != message.storage:
            raise UsageError("the job's transaction is not about this spec and dataset", code="job-spec")
        if train.replay_class != configured_class():
            words = f"the job asks for the replay class {train.replay_class}, this site trains in {configured_class()}"
            raise ConflictError(words, code="replay-class")
        missing = [ref for part in _PARTS for ref in dataset.part(part) if not self.artifacts.has(ref.digest)]
        if missing:
            raise ConflictError(f"{len(missing)} segments of the dataset have not been uploaded", code="data-missing")
        self.artifacts.put(spec, expected_root=message.spec)
        self.artifacts.put(manifest)  # so that it can be kept with the segments it describes
        self.stores.jobs.put_manifest(message.dataset, manifest)
        return signed.digest

    def opening(self, job: JobId) -> JobOpening:
        """What roles must know of a started job. Raises NotFoundError."""
        account = self.node.chain.view.state.jobs.get(job)
        if account is None or account.coordinator is None or account.start_height is None:
            raise NotFoundError(f"job {job.hex()[:16]} has not been started")
        beacon = self.node.chain.beacon(account.start_height)
        if beacon is None:
            raise NotFoundError(f"the block that starts job {job.hex()[:16]} is not final")
        return JobOpening(
            job=job,
            spec=self.artifacts.load_artifact(account.spec),
            manifest=self.stores.jobs.load_manifest(account.dataset),
            beacon=job_beacon(self.node.chain.genesis, beacon),
            coordinator=account.coordinator,
        )

    def with_limits(self, view: JobView) -> JobView:
        """A job's view with how many miners it wants."""
        account = self._account(Digest(bytes.fromhex(view.job_id)))
        if account.spec not in self._limits:
            self._limits[account.spec] = parse_spec(self.artifacts.load_artifact(account.spec)).miners
        limits = self._limits[account.spec]
        return msgspec.structs.replace(view, miners_min=limits.min, miners_max=limits.max)

    def load_part(self, job: JobId, part: PartName) -> Segments:
        """The segments of one part.

        Raises:
            NotFoundError: no such job.
            ConflictError: the test part of a job that still trains.
            StorageError: a segment is missing or damaged.
        """
        account = self._account(job)
        if part == "test" and account.status is JobStatus.RUNNING and not account.closing:
            raise ConflictError("the test part is withheld until training is over", code="test-withheld")
        manifest = decode(self.stores.jobs.load_manifest(account.dataset), DatasetManifest)
        return {ref.digest: self._load_array(ref.digest) for ref in manifest.part(part)}

    def save_checkpoint(self, job: JobId, checkpoint: Checkpoint, layout: bytes) -> None:
        """Store a state and its optimizer as artifacts, then the name they are found by."""
        decoded = decode_layout(layout)
        self.stores.jobs.put_layout(decoded.digest, layout)
        state = self.artifacts.put(bytes_of(checkpoint.state), binding=decoded.digest)
        optimizer = self.artifacts.put(bytes_of(checkpoint.optimizer), binding=optimizer_binding(decoded))
        reference = CheckpointRef(job=job, round=checkpoint.round, state=state, optimizer=optimizer)
        self.stores.jobs.put_checkpoint(reference)

    def load_checkpoint(self, job: JobId, at_most: int) -> Checkpoint | None:
        """The newest stored checkpoint whose round is not after `at_most`."""
        usable = [ref for ref in self.stores.jobs.load_checkpoints(job) if ref.round <= at_most]
        if not usable:
            return None
        newest = usable[-1]
        state, optimizer = (self._load_array(root).view(np.float32) for root in (newest.state, newest.optimizer))
        return Checkpoint(round=newest.round, state=state, optimizer=optimizer)

    def load_final_state(self, job: JobId) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """The weights a job ended with."""
        account = self._account(job)
        if account.state is None:
            raise NotFoundError(f"job {job.hex()[:16]} has no weights")
        return self._load_array(account.state).view(np.float32)

    def weights_info(self, job: JobId) -> tuple[Digest, int, bytes]:
        """State digest, size and encoded layout of a finished job's weights.

        Raises:
            NotFoundError: no such job, or it left no weights.
            ConflictError: the job is not finished.
        """
        account = self._account(job)
        if account.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            raise ConflictError(
                f"job {account.name} is {account.status.value}: there are no final weights yet",
                hint="wait for it: pouw status",
                code="not-finished",
            )
        if account.status is not JobStatus.COMPLETED or account.state is None:
            raise NotFoundError(f"job {account.name} {account.status.value} and left no weights", code="no-weights")
        manifest = self.artifacts.load_manifest(account.state)
        return account.state, manifest.size, self.stores.jobs.load_layout(manifest.binding)

    def _account(self, job: JobId) -> JobAccount:
        account = self.node.job(job)
        if account is None:
            raise NotFoundError(f"there is no job {job.hex()[:16]}", hint="list them with: pouw jobs")
        return account

    def _load_array(self, root: Digest) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        data = np.empty(self.artifacts.load_manifest(root).size, np.uint8)
        self.artifacts.load_into(root, bytes_of(data))
        return data
