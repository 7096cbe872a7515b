"""Reading a piece from those who have it: whole copies from any of them, a lost shard from enough others.

Every chunk is held to the leaves of the piece it is of. A source that does not answer, or sends something else, is left
out from then on, so that one of them cannot keep a piece from being made as long as there are enough others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cluster.errors import ClusterError
from consensus.primitives.digest import CHUNK_BYTES, leaf_digest
from consensus.primitives.integers import Digest
from storage.erasure import ErasureCode

BATCH_CHUNKS: Final = 16
"""Chunks asked for at a time: 4 MiB."""


class NoSourceError(ClusterError):
    """Too few of those who should have a piece hand it out."""

    code = "no-source"


class PieceSource(Protocol):
    """Somebody who keeps one piece."""

    @property
    def name(self) -> str:
        """Tells it from other sources."""
        ...

    def load(self, first: int, count: int) -> Sequence[bytes]:
        """Up to `count` chunks of the piece from `first` on. Raises OSError if it does not answer."""
        ...


@dataclass(slots=True)
class PieceReader:
    """Reads pieces and remembers who failed."""

    failed: dict[str, str] = field(default_factory=dict)
    """By source, what was wrong with it."""

    def read_copy(
        self, sources: Sequence[PieceSource], leaves: Sequence[Digest], first: int, turn: int
    ) -> Iterator[bytes]:
        """The chunks of a piece from `first` on, in turn from all who have it; another `turn` begins with another.

        Raises:
            NoSourceError: all of them failed.
        """
        for number, start in enumerate(range(first, len(leaves), BATCH_CHUNKS), turn):
            while True:
                alive = self._alive(sources)
                if not alive:
                    raise self._too_few(1, 0)
                chunks = self._load(alive[number % len(alive)], leaves, start)
                if chunks is not None:
                    yield from chunks
                    break

    def rebuild_shard(
        self,
        code: ErasureCode,
        lost: int,
        size_bytes: int,
        sources: Mapping[int, PieceSource],
        leaves: Mapping[int, Sequence[Digest]],
        *,
        first: int,
    ) -> Iterator[bytes]:
        """The chunks of a lost shard of an artifact of `size_bytes`, from chunk `first` on, out of any other shards.

        `leaves`: of the shards that `sources` have. Reads as many shards as the artifact has parts, if none fails; of
        the shard itself, if somebody still has it, only that.

        Raises:
            NoSourceError: too few are left.
        """
        row_bytes = code.data_shards * CHUNK_BYTES
        for start in range(first, -(-size_bytes // row_bytes), BATCH_CHUNKS):
            if lost in sources and sources[lost].name not in self.failed:
                chunks = self._load(sources[lost], leaves[lost], start)
                if chunks is not None:
                    yield from chunks
                    continue
            others = {number: source for number, source in sources.items() if number != lost}
            shards = self._load_shards(code.data_shards, others, leaves, start)
            end = min(size_bytes, (start + BATCH_CHUNKS) * row_bytes)
            yield from code.repair(shards, lost, end - start * row_bytes)

    def _load_shards(
        self, count: int, sources: Mapping[int, PieceSource], leaves: Mapping[int, Sequence[Digest]], start: int
    ) -> dict[int, Sequence[bytes]]:
        """A batch of each of `count` shards."""
        shards: dict[int, Sequence[bytes]] = {}
        while len(shards) < count:
            left = [number for number in sources if number not in shards and sources[number].name not in self.failed]
            if len(shards) + len(left) < count:
                raise self._too_few(count, len(shards) + len(left))
            for number in left[: count - len(shards)]:
                chunks = self._load(sources[number], leaves[number], start)
                if chunks is not None:
                    shards[number] = chunks
        return shards

    def _alive(self, sources: Sequence[PieceSource]) -> list[PieceSource]:
        return [source for source in sources if source.name not in self.failed]

    def _load(self, source: PieceSource, leaves: Sequence[Digest], start: int) -> Sequence[bytes] | None:
        """A checked batch, or None."""
        wanted = leaves[start : start + BATCH_CHUNKS]
        try:
            chunks = source.load(start, len(wanted))
        except OSError as error:
            self.failed[source.name] = str(error) or "it does not answer"
            return None
        if len(chunks) == len(wanted) and all(
            leaf_digest(chunk) == leaf for chunk, leaf in zip(chunks, wanted, strict=True)
        ):
            return chunks
        self.failed[source.name] = f"chunks from {start} on are not the piece's"
        return None

    def _too_few(self, needed: int, left: int) -> NoSourceError:
        why = "; ".join(f"{name}: {reason}" for name, reason in self.failed.items())
        return NoSourceError(f"{needed} sources are needed, {left} are left: {why or 'nobody else keeps anything'}")


def checked_chunks(answer: object) -> list[bytes]:
    """What a provider answered, which may be anything. Raises OSError unless it is a list of bytes."""
    if isinstance(answer, list) and all(isinstance(chunk, bytes) for chunk in answer):
        return answer
    raise OSError("its answer is not a list of chunks")
