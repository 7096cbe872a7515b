"""Reading an artifact from several of its holders at once, and believing none of them.

Chunks are asked for in batches, from different holders at the same time, and held to the leaves of the piece. A holder
that sends something else, or nothing, is left out from then on and reported; what it owed is asked of others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cluster.errors import ClusterError
from consensus.primitives.digest import CHUNK_BYTES, chunk_count, leaf_digest
from consensus.primitives.integers import Digest
from storage.erasure import ErasureCode

_BATCH_CHUNKS: Final = 8
"""Chunks asked for at a time: 2 MiB."""
_AHEAD: Final = 4
"""Batches under way at the same time."""
_PATIENCE_S: Final = 20.0
"""So long it waits for holders that do not answer to come back, while there are too few others."""
_AGAIN_S: Final = 1.0


class RetrievalError(ClusterError):
    """Too few holders can hand out what the artifact is made of."""

    code = "retrieval"


LoadChunks = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""Up to so many chunks (second) of a piece from an index (first) on. Raises OSError if the holder does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who keeps one piece."""

    piece: int
    name: str
    load: LoadChunks


@dataclass(slots=True, kw_only=True)
class Retrieval:
    """One reading of one artifact."""

    data_pieces: int
    total_pieces: int
    size: int
    """Bytes of the artifact."""
    leaves: Mapping[int, Sequence[Digest]]
    """Of the chunks of each piece."""
    holders: Sequence[Holder]
    missing: Sequence[str] = ()
    """Pieces that nobody can hand out, and why."""
    on_fault: Callable[[Holder, str], None] = lambda _holder, _reason: None
    """Told once of each holder that failed."""
    patience_s: float = _PATIENCE_S
    _failed: dict[str, str] = field(default_factory=dict)
    _silent: set[str] = field(default_factory=set)
    """Of those, the ones that gave no answer: they may come back."""
    _told: set[str] = field(default_factory=set)
    _lost_s: float | None = None
    """Since when there are too few."""

    async def chunks(self, first: int = 0) -> AsyncGenerator[bytes, None]:
        """The artifact's chunks in order, from chunk `first` on, each checked.

        Raises:
            RetrievalError: too few holders are left; says what is missing.
        """
        waiting: deque[asyncio.Task[list[bytes]]] = deque()
        step = _BATCH_CHUNKS * self.data_pieces
        skipped = first % step  # batches begin where stripes do
        starts = range(first - skipped, chunk_count(self.size), step)
        try:
            for start in (*starts, *(None,) * _AHEAD):
                if start is not None:
                    waiting.append(asyncio.create_task(self._batch(start)))
                if waiting and (start is None or len(waiting) == _AHEAD):
                    for chunk in (await waiting.popleft())[skipped:]:
                        yield chunk
                    skipped = 0
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _batch(self, start: int) -> list[bytes]:
        if self.data_pieces == 1:
            return await self._from_copies(start)
        return await self._from_shards(start)

    async def _from_copies(self, start: int) -> list[bytes]:
        turn = start // _BATCH_CHUNKS
        while True:
            alive = self._alive()
            if not alive:
                await self._wait_for_more()
                continue
            holder = alive[turn % len(alive)]
            chunks = await self._ask(holder, start)
            if chunks is not None:
                return chunks

    async def _from_shards(self, start: int) -> list[bytes]:
        """A run of whole stripes: chunk `start` of the artifact begins one."""
        code, stripe = ErasureCode.of(self.data_pieces, self.total_pieces), start // self.data_pieces
        got: dict[int, list[bytes]] = {}
        while len(got) < self.data_pieces:
            wanted = [holder for holder in self._alive() if holder.piece not in got]
            if len(wanted) + len(got) < self.data_pieces:
                await self._wait_for_more()
                continue
            asked = wanted[: self.data_pieces - len(got)]
            for holder, chunks in zip(
                asked, await asyncio.gather(*(self._ask(holder, stripe) for holder in asked)), strict=True
            ):
                if chunks is not None:
                    got[holder.piece] = chunks
        end = min(self.size, (start + _BATCH_CHUNKS * self.data_pieces) * CHUNK_BYTES)
        return list(code.decode(got, end - start * CHUNK_BYTES))

    async def _ask(self, holder: Holder, index: int) -> list[bytes] | None:
        """Checked chunks of a holder's piece, or None if it failed."""
        leaves = self.leaves[holder.piece][index : index + _BATCH_CHUNKS]
        try:
            chunks = list(await holder.load(index, len(leaves)))
        except OSError as error:
            self._silent.add(holder.name)
            self._fail(holder, str(error) or "it does not answer")
            return None
        if len(chunks) != len(leaves):
            self._fail(holder, f"{len(chunks)} of {len(leaves)} chunks came")
            return None
        for number, (chunk, leaf) in enumerate(zip(chunks, leaves, strict=True), index):
            if leaf_digest(chunk) != leaf:
                self._fail(holder, f"chunk {number} is not the piece's")
                return None
        self._lost_s = None
        return chunks

    def _alive(self) -> list[Holder]:
        return [holder for holder in self.holders if holder.name not in self._failed]

    def _fail(self, holder: Holder, reason: str) -> None:
        self._failed[holder.name] = f"piece {holder.piece} on {holder.name}: {reason}"
        if holder.name not in self._told:
            self._told.add(holder.name)
            self.on_fault(holder, reason)

    async def _wait_for_more(self) -> None:
        """Give those that did not answer another chance. Raises RetrievalError when that was done for long."""
        now_s = asyncio.get_running_loop().time()
        self._lost_s = now_s if self._lost_s is None else self._lost_s
        if now_s - self._lost_s >= self.patience_s or not self._silent:
            raise self._too_few()
        await asyncio.sleep(_AGAIN_S)
        for name in self._silent:
            self._failed.pop(name, None)
        self._silent.clear()

    def _too_few(self) -> RetrievalError:
        lost = "; ".join([*self.missing, *self._failed.values()])
        return RetrievalError(
            f"{self.data_pieces} pieces are needed, {len(self._alive())} can be read: {lost}",
            hint="wait for repair or for a provider to come back (pouw storage deals); "
            "the site's own copy, if it has one: pouw fetch --site-copy",
        )
