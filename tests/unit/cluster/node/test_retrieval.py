"""Reading an artifact from its holders: exact bytes from any that are enough, whoever else lies or is gone."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import pytest

from cluster.node.retrieval import Holder, Retrieval, RetrievalError
from consensus.primitives.digest import CHUNK_BYTES, leaf_digests
from storage.erasure import ErasureCode
from tests.kit.replicas import chunk_of, random_bytes
from tests.kit.virtual_time import run_virtual

SIZE = 20 * CHUNK_BYTES + 1234
DATA = random_bytes(SIZE)
Answer = Callable[[list[bytes]], Sequence[bytes]]


def shards_of(data_pieces: int, total: int) -> list[bytes]:
    if data_pieces == 1:
        return [DATA] * total
    rows = list(ErasureCode.of(data_pieces, total).encode(DATA))
    return [b"".join(row[number] for row in rows) for number in range(total)]


@dataclass
class Source:
    """One holder of a piece, which may answer something else than it should, late, or not at all."""

    piece: int
    data: bytes
    answer: Answer = list
    late_s: float = 0.01
    reads: list[tuple[int, int]] = field(default_factory=list)
    running: int = 0

    async def load(self, first: int, count: int) -> Sequence[bytes]:
        self.reads.append((first, count))
        self.running += 1
        try:
            await asyncio.sleep(self.late_s)
        finally:
            self.running -= 1
        return self.answer([chunk_of(self.data, index) for index in range(first, first + count)])


@dataclass
class Reading:
    """What came of reading."""

    sources: list[Source]
    retrieval: Retrieval
    faults: list[tuple[int, str]]

    async def collect(self, first: int = 0) -> list[bytes]:
        return [chunk async for chunk in self.retrieval.chunks(first)]

    def run(self, first: int = 0) -> list[bytes]:
        return run_virtual(self.collect(first))


def reading(data_pieces: int, sources: list[Source], total: int | None = None, **options: object) -> Reading:
    faults: list[tuple[int, str]] = []
    retrieval = Retrieval(
        data_pieces=data_pieces,
        total_pieces=total or len(sources),
        size=SIZE,
        leaves={each.piece: leaf_digests(shard) for each, shard in _with_shards(data_pieces, total, sources)},
        holders=[Holder(piece=each.piece, name=f"host-{each.piece}", load=each.load) for each in sources],
        on_fault=lambda holder, reason: faults.append((holder.piece, reason)),
        **options,
    )
    return Reading(sources, retrieval, faults)


def _with_shards(data_pieces: int, total: int | None, sources: list[Source]) -> list[tuple[Source, bytes]]:
    shards = shards_of(data_pieces, total or len(sources))
    return [(each, shards[each.piece]) for each in sources]


def sources_of(data_pieces: int, total: int) -> list[Source]:
    return [Source(number, data) for number, data in enumerate(shards_of(data_pieces, total))]


def junk(chunks: list[bytes]) -> list[bytes]:
    return [bytes(len(chunk)) for chunk in chunks]


def short(chunks: list[bytes]) -> list[bytes]:
    return chunks[:-1]


def cut(chunks: list[bytes]) -> list[bytes]:
    return [*chunks[:-1], chunks[-1][:-1]]


def more(chunks: list[bytes]) -> list[bytes]:
    return [*chunks, b"more"]


def dead(_chunks: list[bytes]) -> list[bytes]:
    raise OSError("it is not there")


FAULTS = pytest.mark.parametrize("fault", [junk, short, cut, more, dead])


@pytest.mark.parametrize(("data_pieces", "total"), [(1, 1), (1, 3), (2, 3), (4, 6)])
def test_bytes_come_whole_and_in_order_from_several_at_once(data_pieces: int, total: int) -> None:
    read = reading(data_pieces, sources_of(data_pieces, total))
    chunks = read.run()
    assert chunks == [chunk_of(DATA, index) for index in range(21)]
    assert read.faults == []
    asked = [each for each in read.sources if each.reads]
    assert len(asked) == (total if data_pieces == 1 else data_pieces)


@pytest.mark.parametrize("chosen", list(combinations(range(5), 3)))
def test_any_so_many_shards_are_enough(chosen: tuple[int, ...]) -> None:
    shards = shards_of(3, 5)
    read = reading(3, [Source(number, shards[number]) for number in chosen], total=5)
    assert b"".join(read.run()) == DATA


@pytest.mark.parametrize("first", [1, 7, 8, 9, 15, 16, 17, 20])
@pytest.mark.parametrize("data_pieces", [1, 2, 3])
def test_reading_goes_on_at_any_chunk(data_pieces: int, first: int) -> None:
    read = reading(data_pieces, sources_of(data_pieces, data_pieces + 1))
    assert read.run(first) == [chunk_of(DATA, index) for index in range(first, 21)]


@FAULTS
@pytest.mark.parametrize("data_pieces", [1, 2])
def test_who_fails_is_left_out_and_reported_once(data_pieces: int, fault: Answer) -> None:
    sources = sources_of(data_pieces, 3)
    sources[0].answer = fault
    read = reading(data_pieces, sources)
    assert b"".join(read.run()) == DATA
    assert [piece for piece, _ in read.faults] == [0]
    assert len(sources[0].reads) <= 4


def test_one_that_turns_bad_in_the_middle_costs_nothing_but_its_own_batch() -> None:
    sources = sources_of(1, 2)
    sources[0].answer = lambda chunks: chunks if chunks[0] == chunk_of(DATA, 0) else junk(chunks)
    read = reading(1, sources)
    assert b"".join(read.run()) == DATA
    assert read.faults == [(0, "chunk 16 is not the piece's")]


@pytest.mark.parametrize("data_pieces", [1, 2])
def test_too_few_says_what_is_missing_and_why(data_pieces: int) -> None:
    sources = sources_of(data_pieces, 3)[:2]
    for each in sources:
        each.answer = junk
    read = reading(data_pieces, sources, total=3, missing=["piece 2 is vacant"])
    with pytest.raises(RetrievalError) as caught:
        read.run()
    message = str(caught.value)
    assert message.startswith(f"{data_pieces} pieces are needed, 0 can be read: piece 2 is vacant; piece 0 on host-0: ")
    assert "pouw fetch --site-copy" in caught.value.hint


def test_holders_that_start_again_are_waited_for() -> None:
    sources = sources_of(1, 2)
    for each in sources:
        each.answer = lambda chunks, each=each: dead(chunks) if len(each.reads) < 5 else chunks
    read = reading(1, sources)
    assert b"".join(read.run()) == DATA
    assert sorted(piece for piece, _ in read.faults) == [0, 1]


def test_holders_that_stay_away_are_not_waited_for_without_end() -> None:
    sources = sources_of(1, 2)
    for each in sources:
        each.answer = dead
    read = reading(1, sources, patience_s=20.0)

    async def timed() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(RetrievalError, match="it is not there"):
            await read.collect()
        return loop.time() - start

    assert 20 <= run_virtual(timed()) < 25
    assert sorted(piece for piece, _ in read.faults) == [0, 1]


@pytest.mark.parametrize("data_pieces", [1, 2])
def test_who_stops_reading_leaves_no_task(data_pieces: int) -> None:
    read = reading(data_pieces, sources_of(data_pieces, 3))

    async def stopped() -> tuple[int, int]:
        before = asyncio.all_tasks()
        chunks = read.retrieval.chunks()
        await anext(chunks)
        await chunks.aclose()
        return len(asyncio.all_tasks() - before), sum(each.running for each in read.sources)

    assert run_virtual(stopped()) == (0, 0)


def test_a_cancelled_reader_leaves_no_task() -> None:
    sources = sources_of(2, 3)
    for each in sources:
        each.late_s = 1_000
    read = reading(2, sources)

    async def cancelled() -> tuple[int, int]:
        before = asyncio.all_tasks()
        task = asyncio.create_task(read.collect())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(asyncio.all_tasks() - before), sum(each.running for each in sources)

    assert run_virtual(cancelled()) == (0, 0)


def test_a_failed_reading_leaves_no_task_and_no_lost_error() -> None:
    sources = sources_of(1, 1)
    sources[0].answer = junk
    read = reading(1, sources)

    async def failed() -> int:
        before = asyncio.all_tasks()
        with pytest.raises(RetrievalError):
            await read.collect()
        return len(asyncio.all_tasks() - before)

    assert run_virtual(failed()) == 0
