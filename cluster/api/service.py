"""What the HTTP API asks of the site. The gateway implements it; tests may run the API over an in-memory one."""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from cluster.views import (
    AccountView,
    ArtifactView,
    BlockView,
    DealView,
    JobView,
    LogLine,
    LogQuery,
    MinerView,
    NodeView,
    PiecesView,
    ProbeView,
    ProviderView,
    ScaleView,
    SiteView,
    StorageView,
    TransactionView,
)


class ChainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a wallet needs to sign for this chain."""

    chain_id: str
    replay_class: str
    """In which the site's processes train: jobs have to name the same one."""
    min_audit_ppm: int
    supervisors: tuple[str, ...]


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it crosses HTTP; its segments and artifacts have been uploaded before. Bytes are base64 in JSON."""

    transaction: bytes
    """Canonical bytes of the signed SubmitJob."""
    spec: bytes
    """Canonical job spec (jobs.spec.spec_bytes); its bulk digest is in the transaction."""
    manifest: bytes
    """Encoded DatasetManifest; its root is in the transaction."""


class WeightsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed to check and name the bytes of a finished job's weights."""

    job_id: str
    name: str
    state_digest: str
    size_bytes: int
    layout: bytes
    """Encoded layout record (jobs.layout)."""


class SiteService(Protocol):
    """All methods raise cluster.errors.ClusterError subclasses, which the API turns into HTTP answers."""

    async def status(self, job: str | None) -> SiteView: ...

    async def miners(self) -> tuple[MinerView, ...]: ...

    async def nodes(self) -> tuple[NodeView, ...]:
        """Every machine of the site, looked at now: takes seconds."""
        ...

    async def scale(self, desired: int) -> ScaleView: ...

    async def chain_facts(self) -> ChainFacts: ...

    async def account(self, address: str) -> AccountView: ...

    async def blocks(self, start: int, count: int) -> tuple[BlockView, ...]: ...

    async def send_transaction(self, data: bytes) -> TransactionView: ...

    async def has_artifact(self, digest: str) -> bool: ...

    async def put_artifact(self, digest: str, data: bytes) -> None:
        """Store bytes whose bulk digest (unbound) is `digest`; refused when it is not."""
        ...

    async def submit_job(self, submission: Submission) -> JobView: ...

    async def weights_info(self, job: str) -> WeightsInfo: ...

    def weights(self, job: str, first: int, *, site_copy: bool) -> AsyncGenerator[bytes, None]:
        """The state's bytes in 256 KiB chunks, in order, from chunk `first` on.

        They come from storage providers once those keep them all; `site_copy` asks for the site's own copy.
        """
        ...

    async def storage(self) -> StorageView: ...

    async def deals(self) -> tuple[DealView, ...]: ...

    async def providers(self) -> tuple[ProviderView, ...]: ...

    async def job_artifacts(self, job: str) -> tuple[ArtifactView, ...]:
        """What a job has at the site that can be kept."""
        ...

    async def artifact_info(self, root: str) -> PiecesView:
        """Size and binding of an artifact that is under a deal, or at the site."""
        ...

    async def make_pieces(self, root: str, data_pieces: int, total_pieces: int) -> PiecesView:
        """The pieces of a deal about an artifact at the site; shards are made now, and stay for an hour."""
        ...

    def artifact(self, root: str, first: int) -> AsyncGenerator[bytes, None]:
        """An artifact's bytes as `weights` gives those of a job: from providers, or else the site's own copy."""
        ...

    async def probe(self, deal: str) -> tuple[ProbeView, ...]:
        """Ask the holders of all deals whose id begins so for a chunk."""
        ...

    async def drain_storage(self, node: str) -> None:
        """Have the storage provider of a machine give away what it keeps."""
        ...

    async def logs(self, query: LogQuery, tail: int) -> tuple[LogLine, ...]: ...

    async def shutdown(self) -> None: ...
