"""The gateway as a Ray actor: serves the HTTP API and keeps the site as it should be (jobs running, miners there)."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import ray
import uvicorn

from cluster.actors.care import SiteCare
from cluster.actors.kept_weights import read_from_providers
from cluster.actors.loops import run_always
from cluster.actors.meters import RayMeters, metrics_addresses
from cluster.actors.names import SUPERVISOR, VERIFIER
from cluster.actors.nodes import Places, own_address
from cluster.actors.probe import view_nodes
from cluster.actors.remote import Handle, cause_of, require_actor
from cluster.actors.vigil import Heart
from cluster.api.app import build_app
from cluster.api.service import ChainFacts, Submission, WeightsInfo
from cluster.config import HomeLayout, read_site_file
from cluster.control.placement import HeadUse
from cluster.errors import ClusterError, UnreachableError, UsageError
from cluster.job_names import match_job
from cluster.logs import configure_logging, read_logs
from cluster.secret_file import load_or_create_token, replace_secret
from cluster.settings import SiteSettings
from cluster.views import (
    AccountView,
    ArtifactView,
    BlockView,
    ChainTipView,
    ClusterView,
    DealView,
    JobView,
    LogLine,
    LogQuery,
    MinerView,
    NodeView,
    PiecesView,
    ProbeView,
    ProcessView,
    ProviderView,
    ScaleView,
    SiteView,
    StorageView,
    TransactionView,
)
from cluster.wallet.keystore import site_keystore
from consensus.params import ConsensusParams
from consensus.primitives.digest import chunk_count
from consensus.primitives.integers import Digest

_ANSWER_S: Final = 5.0
_KEY_BYTES: Final = 32
_BATCH_CHUNKS: Final = 8

_log = logging.getLogger("pouw.gateway")


class Gateway:
    """Implements cluster.api.service.SiteService over the site's actors."""

    OPTIONS: Final[dict[str, Any]] = {"num_cpus": 0, "max_restarts": -1, "concurrency_groups": {"control": 1}}

    def __init__(
        self,
        *,
        home: str,
        name: str,
        chain_id: bytes,
        params: ConsensusParams,
        head_use: str = HeadUse.ALONE,
    ) -> None:
        self._home = HomeLayout(root=Path(home))
        configure_logging(self._home, name)
        self._heart = Heart(site_keystore(self._home).load_or_create(name), Digest(chain_id), name)
        self._settings = msgspec.json.decode(self._home.settings_file.read_bytes(), type=SiteSettings)
        places = Places(head_use=HeadUse(head_use), autoscaled=self._settings.autoscaled_miners)
        self._care = SiteCare(
            home=home,
            chain_id=chain_id,
            params=params,
            desired=self._settings.miners,
            storage_gb=self._settings.storage_gb,
            places=places,
            meters=RayMeters(role="gateway"),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._server: uvicorn.Server | None = None

    @ray.method(concurrency_group="control")
    async def beat(self, watch: bytes, question: int) -> bytes:
        """A signed word that this process answers."""
        return self._heart.beat(watch, question)

    async def start(self) -> int:
        """Serve; returns the port. Again is no error."""
        if self._server is None:
            token = load_or_create_token(self._home.token)
            config = uvicorn.Config(build_app(self, token), log_level="warning", lifespan="off")
            listener = socket.create_server(("127.0.0.1", self._settings.port or 0), reuse_port=False)
            self._remember(port=listener.getsockname()[1])
            self._server = uvicorn.Server(config)
            self._tasks = [
                asyncio.create_task(self._server.serve(sockets=[listener])),
                run_always(self._care_loop(), "care"),
                run_always(self._care.vigil.run(), "vigil"),
            ]
        return self._settings.port or 0

    def _remember(self, **changes: int) -> None:
        """What a gateway that is started again, or the next host process, has to go on with."""
        self._settings = msgspec.structs.replace(self._settings, **changes)
        replace_secret(self._home.settings_file, msgspec.json.encode(self._settings))

    async def _care_loop(self) -> None:
        while True:
            try:
                await self._care.tend()
            except (ray.exceptions.RayError, ClusterError) as error:
                _log.warning("the site needs another look: %s", cause_of(error))
            await self._care.wait()

    # SiteService

    async def status(self, job: str | None) -> SiteView:
        """The whole site; with `job` (an id, its beginning, or a name) that job only."""
        tip: ChainTipView = await _ask("tip")
        jobs = [self._care.freshen(view) for view in await _ask("jobs")]
        if job is not None:
            jobs = [match_job(jobs, job)]
        running = sum(1 for miner in self._care.miners.values() if miner.is_counted)
        return SiteView(
            cluster=ClusterView(nodes=len([n for n in ray.nodes() if n["Alive"]]), miners=running, supervisors=1),
            chain=tip,
            jobs=tuple(jobs),
            processes=await self._processes(),
            address=f"http://127.0.0.1:{self._settings.port}",
            metrics=metrics_addresses(),
        )

    async def _processes(self) -> tuple[ProcessView, ...]:
        node = own_address()
        own = [ProcessView(role="gateway", pid=os.getpid(), node=node, state="running")]
        for role, name in (("supervisor", SUPERVISOR), ("verifier", VERIFIER)):
            own.append(await _process(role, name, node))
        return (*own, *self._care.processes(node))

    async def miners(self) -> tuple[MinerView, ...]:
        """Every miner this site knows."""
        tallies = await _ask("tallies", [m.key for m in self._care.miners.values() if m.key is not None])
        names = {job.job_id: job.name for job in await _ask("jobs")}
        return tuple(miner.view(tallies, names) for miner in self._care.miners.values())

    async def nodes(self) -> tuple[NodeView, ...]:
        """Every machine, looked at from within."""
        return await view_nodes(self._care.places)

    async def scale(self, desired: int) -> ScaleView:
        """Have so many miners; those too many finish what they hold first.

        Raises:
            UsageError, ConflictError: not so many. Nothing has changed then.
        """
        await asyncio.to_thread(self._care.check_scale, desired)
        self._remember(miners=desired)
        self._care.scale(desired)
        self._care.look_soon()
        return self._care.scale_view()

    async def chain_facts(self) -> ChainFacts:
        """What a wallet must know to sign."""
        facts: ChainFacts = await _ask("facts")
        return facts

    async def account(self, address: str) -> AccountView:
        """An account by its public key."""
        view: AccountView = await _ask("account", _bytes(address, "an address"))
        return view

    async def blocks(self, start: int, count: int) -> tuple[BlockView, ...]:
        """Final blocks."""
        views: tuple[BlockView, ...] = await _ask("blocks", start, count)
        return views

    async def send_transaction(self, data: bytes) -> TransactionView:
        """Hand in a signed transaction."""
        view = TransactionView(transaction=(await _ask("submit", data)).hex())
        self._care.look_soon()
        return view

    async def has_artifact(self, digest: str) -> bool:
        """Whether bytes are here already."""
        return bool(await _ask("has_artifact", _bytes(digest, "a digest")))

    async def put_artifact(self, digest: str, data: bytes) -> None:
        """Store bytes by digest."""
        await _ask("put_artifact", _bytes(digest, "a digest"), data)

    async def submit_job(self, submission: Submission) -> JobView:
        """Take up a job."""
        view: JobView = await _ask("submit_job", submission.transaction, submission.spec, submission.manifest)
        self._care.look_soon()
        return view

    async def weights_info(self, job: str) -> WeightsInfo:
        """What the weights of a finished job are called and how large they are."""
        found = match_job(await _ask("jobs"), job)
        digest, size_bytes, layout = await _ask("weights_info", bytes.fromhex(found.job_id))
        return WeightsInfo(
            job_id=found.job_id, name=found.name, state_digest=digest.hex(), size_bytes=size_bytes, layout=layout
        )

    async def weights(self, job: str, first: int, *, site_copy: bool) -> AsyncGenerator[bytes, None]:
        """The weights' bytes, chunk by chunk: from storage providers, if those keep them all."""
        info = await self.weights_info(job)
        async with aclosing(_read(info.state_digest, info.size_bytes, first, site_copy=site_copy)) as chunks:
            async for chunk in chunks:
                yield chunk

    # storage

    async def storage(self) -> StorageView:
        """Kept artifacts in a few numbers."""
        view, _, _ = await _ask("storage_views")
        return cast("StorageView", view)

    async def deals(self) -> tuple[DealView, ...]:
        """Every deal."""
        _, deals, _ = await _ask("storage_views")
        return cast("tuple[DealView, ...]", deals)

    async def providers(self) -> tuple[ProviderView, ...]:
        """Every account that offers storage."""
        _, _, providers = await _ask("storage_views")
        return cast("tuple[ProviderView, ...]", providers)

    async def job_artifacts(self, job: str) -> tuple[ArtifactView, ...]:
        """What a job has here that can be kept."""
        found = match_job(await _ask("jobs"), job)
        views: tuple[ArtifactView, ...] = await _ask("job_artifacts", bytes.fromhex(found.job_id))
        return views

    async def artifact_info(self, root: str) -> PiecesView:
        """Size and binding of an artifact."""
        view: PiecesView = await _ask("artifact_info", _bytes(root, "a digest"))
        return view

    async def make_pieces(self, root: str, data_pieces: int, total_pieces: int) -> PiecesView:
        """What a deal about an artifact would be about."""
        view: PiecesView = await _ask("make_pieces", _bytes(root, "a digest"), data_pieces, total_pieces)
        return view

    async def artifact(self, root: str, first: int) -> AsyncGenerator[bytes, None]:
        """An artifact's bytes, chunk by chunk."""
        info = await self.artifact_info(root)
        async with aclosing(_read(info.root, info.bytes, first)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def probe(self, deal: str) -> tuple[ProbeView, ...]:
        """Ask the holders of deals for a chunk."""
        views: tuple[ProbeView, ...] = await _ask("probe_storage", deal)
        return views

    async def drain_storage(self, node: str) -> None:
        """Have a machine's provider give away what it keeps."""
        await self._care.storage.drain(node)

    async def logs(self, query: LogQuery, tail: int) -> tuple[LogLine, ...]:
        """The latest log lines."""
        if query.job is not None:
            query = msgspec.structs.replace(query, job=match_job(await _ask("jobs"), query.job).job_id)
        return await asyncio.to_thread(read_logs, self._home, query, tail)

    async def shutdown(self) -> None:
        """Ask the background process of the site to end everything."""
        site = read_site_file(self._home)
        if site is None:
            raise UnreachableError("the site has no background process to stop")
        os.kill(site.pid, 15)


async def _read(root: str, size_bytes: int, first: int, *, site_copy: bool = False) -> AsyncGenerator[bytes, None]:
    """The chunks of an artifact: from storage providers once they keep them all, else the site's own."""
    digest = bytes.fromhex(root)
    plan = None if site_copy else await _ask("retrieval", digest)
    if plan is not None:
        async with aclosing(read_from_providers(plan, first)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    for start in range(first, chunk_count(size_bytes), _BATCH_CHUNKS):
        for chunk in await _ask("load_chunks", digest, start, _BATCH_CHUNKS):
            yield chunk


async def _ask(method: str, *arguments: object) -> Any:
    """Call the supervisor; an error of ours comes back as itself, a dead supervisor as UnreachableError."""
    try:
        supervisor: Handle = require_actor(SUPERVISOR)
        return await getattr(supervisor, method).remote(*arguments)
    except ray.exceptions.RayTaskError as error:
        raise cause_of(error) from None
    except ray.exceptions.RayError as error:
        raise UnreachableError("the supervisor does not answer", hint="it is being restarted; try again") from error


async def _process(role: str, name: str, node: str) -> ProcessView:
    try:
        pid = await asyncio.wait_for(require_actor(name).pid.remote(), _ANSWER_S)
    except (ray.exceptions.RayError, TimeoutError):
        return ProcessView(role=role, pid=0, node=node, state="not answering")
    return ProcessView(role=role, pid=pid, node=node, state="running")


def _bytes(text: str, what: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"{text[:80]!r} is not {what}: it must be hexadecimal") from error
    if len(data) != _KEY_BYTES:
        raise UsageError(f"{text[:80]!r} is not {what}: it must have 64 hexadecimal digits")
    return data
