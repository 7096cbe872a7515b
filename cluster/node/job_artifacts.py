"""What a job has left at the site that may be kept or handed out: its weights, checkpoints and dataset segments."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cluster.errors import ConflictError, NotFoundError
from cluster.node.node_stores import NodeStores
from cluster.node.supervisor import SupervisorNode
from cluster.views import ArtifactKind, ArtifactView
from consensus.ledger.entries import JobAccount, JobStatus
from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest
from consensus.records.transactions import JobId
from jobs.data.manifest import DatasetManifest, PartName
from storage.artifact_manifest import Manifest
from storage.artifacts import ArtifactStore
from storage.errors import RecordMissingError

_OPEN_PARTS: Final[tuple[PartName, ...]] = ("train", "validation")
_WITHHELD_PART: Final[PartName] = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArtifacts:
    """Names artifacts. The test part of a job that still trains is not among them, for whoever asks."""

    node: SupervisorNode
    stores: NodeStores
    artifacts: ArtifactStore

    def list(self, job: JobId) -> tuple[ArtifactView, ...]:
        """What a job has at the site now.

        Raises:
            NotFoundError: there is no such job.
        """
        account = self.node.job(job)
        if account is None:
            raise NotFoundError(f"there is no job {job.hex()[:16]}", hint="list them with: pouw jobs")
        found = [*self._states(job, account), *self._segments(account)]
        return tuple(self._view(kind, part, root) for kind, part, root in found if self.artifacts.has(root))

    def manifest(self, root: Digest) -> Manifest:
        """What an artifact is made of that may be kept and handed out.

        Raises:
            NotFoundError: it is not here.
            ConflictError: it belongs to a test part that is still withheld.
        """
        self.check_released(root)
        if not self.artifacts.has(root):
            raise NotFoundError(
                f"the site has no artifact {root.hex()[:16]}", hint="list a job's with: pouw storage artifacts JOB"
            )
        return self.artifacts.load_manifest(root)

    def check_released(self, root: Digest) -> None:
        """Raises ConflictError: the artifact belongs to a test part that is still withheld."""
        if self.is_withheld(root):
            raise ConflictError("this is a test part, withheld until training is over", code="test-withheld")

    def is_withheld(self, root: Digest) -> bool:
        """Whether an artifact is a part of the test data of a job that still trains."""
        training = [account for account in self.node.pool.state.jobs.values() if _is_training(account)]
        manifests = [manifest for account in training if (manifest := self._manifest(account)) is not None]
        return any(segment.digest == root for manifest in manifests for segment in manifest.part(_WITHHELD_PART))

    def _states(self, job: JobId, account: JobAccount) -> Iterator[tuple[ArtifactKind, str, Digest]]:
        if account.state is not None and not _is_training(account):
            yield "weights", "", account.state
        for checkpoint in self.stores.jobs.load_checkpoints(job):
            yield "checkpoint", str(checkpoint.round), checkpoint.state
            yield "optimizer", str(checkpoint.round), checkpoint.optimizer

    def _segments(self, account: JobAccount) -> Iterator[tuple[ArtifactKind, str, Digest]]:
        yield "spec", "", account.spec
        manifest = self._manifest(account)
        if manifest is None:
            return
        yield "manifest", "", bulk_digest(encode(manifest))
        for part in _OPEN_PARTS if _is_training(account) else (*_OPEN_PARTS, _WITHHELD_PART):
            for segment in manifest.part(part):
                yield "dataset", part, segment.digest

    def _manifest(self, account: JobAccount) -> DatasetManifest | None:
        try:
            return decode(self.stores.jobs.load_manifest(account.dataset), DatasetManifest)
        except RecordMissingError:  # the job is on the chain, and was not handed in here
            return None

    def _view(self, kind: ArtifactKind, part: str, root: Digest) -> ArtifactView:
        manifest = self.artifacts.load_manifest(root)
        deals = self.node.pool.state.deals.items()
        return ArtifactView(
            kind=kind,
            part=part,
            root=root.hex(),
            bytes=manifest.size,
            binding=manifest.binding.hex(),
            deals=tuple(key.hex() for key, deal in deals if deal.is_open and deal.root == root),
        )


def _is_training(account: JobAccount) -> bool:
    return account.status in (JobStatus.QUEUED, JobStatus.RUNNING) and not account.closing
