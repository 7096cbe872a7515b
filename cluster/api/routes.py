"""One route for each method of `SiteService`. No decisions are made here."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from cluster.api.encoding import (
    ARTIFACT_BYTES,
    SUBMISSION_BYTES,
    TRANSACTION_BYTES,
    json_response,
    read_body,
    read_json,
)
from cluster.api.service import SiteService, Submission
from cluster.control.capacity import MOST_MINERS
from cluster.errors import NotFoundError, UsageError
from cluster.views import LogQuery
from consensus.ledger.deals import MAX_PIECES
from consensus.primitives.digest import CHUNK_BYTES

MAX_BLOCKS = 1_000
MAX_LOG_LINES = 10_000
_OCTETS = "application/octet-stream"

Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Job = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
First = Annotated[int, Query(ge=0)]
Role = Annotated[str | None, Query(max_length=64)]
SomeJob = Annotated[str | None, Query(pattern="^[0-9a-f]{1,64}$")]


class ScaleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many miners there should be."""

    desired: Annotated[int, msgspec.Meta(ge=1, le=MOST_MINERS)]


def site_routes(service: SiteService) -> APIRouter:
    """What a site is, and its size."""
    router = APIRouter(prefix="/v1")

    @router.get("/health")
    async def health() -> Response:
        facts = await service.chain_facts()
        return json_response({"ok": True, "site": facts.chain_id})

    @router.get("/status")
    async def status(job: SomeJob = None) -> Response:
        return json_response(await service.status(job))

    @router.get("/nodes")
    async def nodes() -> Response:
        return json_response(await service.nodes())

    @router.get("/miners")
    async def miners() -> Response:
        return json_response(await service.miners())

    @router.post("/scale")
    async def scale(request: Request) -> Response:
        wanted = await read_json(request, ScaleRequest)
        return json_response(await service.scale(wanted.desired))

    @router.get("/logs")
    async def logs(
        job: SomeJob = None,
        role: Role = None,
        round_number: Annotated[int | None, Query(alias="round", ge=0)] = None,
        slot: Annotated[int | None, Query(ge=0)] = None,
        tail: Annotated[int, Query(ge=0, le=MAX_LOG_LINES)] = 100,
    ) -> Response:
        return json_response(await service.logs(LogQuery(job=job, role=role, round=round_number, slot=slot), tail))

    @router.post("/shutdown")
    async def shutdown() -> Response:
        await service.shutdown()
        return json_response({"ok": True})

    return router


def ledger_routes(service: SiteService) -> APIRouter:
    """The chain as a wallet needs it."""
    router = APIRouter(prefix="/v1")

    @router.get("/chain/facts")
    async def chain_facts() -> Response:
        return json_response(await service.chain_facts())

    @router.get("/accounts/{address}")
    async def account(address: Digest) -> Response:
        return json_response(await service.account(address))

    @router.get("/blocks")
    async def blocks(
        start: Annotated[int, Query(ge=0)] = 0, count: Annotated[int, Query(ge=1, le=MAX_BLOCKS)] = 100
    ) -> Response:
        return json_response(await service.blocks(start, count))

    @router.post("/transactions")
    async def send_transaction(request: Request) -> Response:
        return json_response(await service.send_transaction(await read_body(request, TRANSACTION_BYTES)), 202)

    return router


def storage_routes(service: SiteService) -> APIRouter:
    """Artifacts that providers keep."""
    router = APIRouter(prefix="/v1/storage")

    @router.get("")
    async def storage() -> Response:
        return json_response(await service.storage())

    @router.get("/deals")
    async def deals() -> Response:
        return json_response(await service.deals())

    @router.get("/providers")
    async def providers() -> Response:
        return json_response(await service.providers())

    @router.post("/probe")
    async def probe(deal: Annotated[str, Query(pattern="^[0-9a-f]{0,64}$")] = "") -> Response:
        return json_response(await service.probe(deal))

    @router.post("/drain")
    async def drain(node: Annotated[str, Query(min_length=1, max_length=64)]) -> Response:
        await service.drain_storage(node)
        return json_response({"ok": True})

    return router


def artifact_routes(service: SiteService) -> APIRouter:
    """Anything that is kept or can be, by its root."""
    router = APIRouter(prefix="/v1/storage")

    @router.get("/jobs/{job}")
    async def job_artifacts(job: Job) -> Response:
        return json_response(await service.job_artifacts(job))

    @router.post("/artifacts/{root}/pieces")
    async def make_pieces(
        root: Digest,
        data: Annotated[int, Query(ge=1, le=MAX_PIECES)] = 1,
        total: Annotated[int, Query(ge=1, le=MAX_PIECES)] = 1,
    ) -> Response:
        if data > total:
            raise UsageError(f"of {total} pieces not {data} can be needed")
        return json_response(await service.make_pieces(root, data, total))

    @router.get("/artifacts/{root}/info")
    async def artifact_info(root: Digest) -> Response:
        return json_response(await service.artifact_info(root))

    @router.get("/artifacts/{root}")
    async def artifact(root: Digest, first: First = 0) -> Response:
        info = await service.artifact_info(root)
        return await _stream(f"artifact {root}", info.bytes, first, service.artifact(root, first))

    return router


def job_routes(service: SiteService) -> APIRouter:
    """Jobs, and the bytes that go in and come out."""
    router = APIRouter(prefix="/v1")

    @router.head("/artifacts/{digest}")
    async def has_artifact(digest: Digest) -> Response:
        return Response(status_code=200 if await service.has_artifact(digest) else 404)

    @router.put("/artifacts/{digest}")
    async def put_artifact(digest: Digest, request: Request) -> Response:
        await service.put_artifact(digest, await read_body(request, ARTIFACT_BYTES))
        return Response(status_code=204)

    @router.post("/jobs")
    async def submit_job(request: Request) -> Response:
        submission = await read_json(request, Submission, SUBMISSION_BYTES)
        return json_response(await service.submit_job(submission), 201)

    @router.get("/jobs/{job}/weights/info")
    async def weights_info(job: Job) -> Response:
        return json_response(await service.weights_info(job))

    @router.get("/jobs/{job}/weights")
    async def weights(job: Job, first: First = 0, *, site_copy: Annotated[bool, Query()] = False) -> Response:
        info = await service.weights_info(job)
        chunks = service.weights(job, first, site_copy=site_copy)
        return await _stream(f"weights of job {job}", info.size_bytes, first, chunks)

    return router


async def _stream(what: str, size_bytes: int, first: int, chunks: AsyncGenerator[bytes, None]) -> Response:
    """Chunks from `first` on as an answer.

    The first one is taken before the answer starts: what is wrong with the rest of the way shows up there, and can
    still be said properly.
    """
    left = size_bytes - first * CHUNK_BYTES
    if first and left <= 0:
        raise UsageError(f"{what}: there is no chunk {first}")
    chunk = await anext(chunks, b"")
    if not chunk and size_bytes:
        raise NotFoundError(f"{what}: the site has no bytes of it", code="weights")
    return StreamingResponse(_chain(chunk, chunks), headers={"Content-Length": str(left)}, media_type=_OCTETS)


async def _chain(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):  # who reads no further stops what is read ahead
        yield first
        async for chunk in rest:
            yield chunk
