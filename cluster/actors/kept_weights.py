"""Streams a job's weights: from the storage providers that keep them, or from the site's own copy."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final

import ray

from cluster.actors.names import SUPERVISOR
from cluster.actors.remote import cause_of, find_actor, require_actor
from cluster.node.piece_reader import checked_chunks
from cluster.node.retrieval import Holder, Retrieval
from cluster.node.storage_answers import RetrievalPlan

_ANSWER_S: Final = 10.0


async def read_from_providers(plan: RetrievalPlan, first: int) -> AsyncGenerator[bytes, None]:
    """The chunks of an artifact under a deal, from chunk `first` on. Who fails is reported on the chain.

    Raises:
        RetrievalError: too few holders are left.
    """
    terms = {number: term for number, term, _ in plan.holders}
    reports: set[asyncio.Task[None]] = set()

    def report(holder: Holder, reason: str) -> None:
        task = asyncio.create_task(_report(plan, holder.piece, terms[holder.piece], reason))
        reports.add(task)
        task.add_done_callback(reports.discard)

    retrieval = Retrieval(
        data_pieces=plan.data_pieces,
        total_pieces=plan.total_pieces,
        size=plan.size,
        leaves=plan.leaves,
        holders=[
            Holder(piece=number, name=name, load=partial(_load, name, plan.deal, number))
            for number, _, name in plan.holders
        ],
        missing=plan.missing,
        on_fault=report,
    )
    try:
        async with aclosing(retrieval.chunks(first)) as chunks:
            async for chunk in chunks:
                yield chunk
    finally:
        if reports:
            await asyncio.wait(reports, timeout=_ANSWER_S)


async def _load(name: str, deal: bytes, piece: int, first: int, count: int) -> Sequence[bytes]:
    handle = find_actor(name)
    if handle is None:
        raise OSError("it is not there")
    answer: Awaitable[object] = handle.load_plain.remote(deal, piece, first, count)
    try:
        return checked_chunks(await asyncio.wait_for(answer, _ANSWER_S))
    except (ray.exceptions.RayError, TimeoutError) as error:
        raise OSError(str(cause_of(error)).partition("\n")[0]) from error


async def _report(plan: RetrievalPlan, piece: int, term: int, reason: str) -> None:
    await require_actor(SUPERVISOR).report_source.remote(plan.deal, piece, term, reason)
