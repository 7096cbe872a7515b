"""Pieces from those who have them: whole copies, lost shards, and sources that lie or are gone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from cluster.node.piece_reader import BATCH_CHUNKS, NoSourceError, PieceReader, checked_chunks
from consensus.primitives.digest import CHUNK_BYTES, leaf_digests
from storage.erasure import ErasureCode
from tests.kit.replicas import chunk_of, random_bytes

CHUNKS = 2 * BATCH_CHUNKS + 3
COPY = random_bytes((CHUNKS - 1) * CHUNK_BYTES + 77)
CODE = ErasureCode.of(2, 4)
ARTIFACT = random_bytes(2 * (CHUNKS - 1) * CHUNK_BYTES + 5, seed=1)
SHARDS = [b"".join(CODE.encode_shard(ARTIFACT, number)) for number in range(4)]
LEAVES = {number: leaf_digests(shard) for number, shard in enumerate(SHARDS)}


@dataclass
class Source:
    name: str
    data: bytes
    answer: Callable[[list[bytes]], Sequence[bytes]] = list
    reads: list[int] = field(default_factory=list)

    def load(self, first: int, count: int) -> Sequence[bytes]:
        self.reads.append(first)
        return self.answer([chunk_of(self.data, index) for index in range(first, first + count)])


def gone(_chunks: list[bytes]) -> list[bytes]:
    raise OSError("gone")


def junk(chunks: list[bytes]) -> list[bytes]:
    return [bytes(len(chunk)) for chunk in chunks]


def nothing(_chunks: list[bytes]) -> list[bytes]:
    return []


def shard_sources(*numbers: int) -> dict[int, Source]:
    return {number: Source(f"host-{number}", SHARDS[number]) for number in numbers}


def rebuild(sources: dict[int, Source], lost: int, first: int = 0, reader: PieceReader | None = None) -> bytes:
    reader = reader or PieceReader()
    return b"".join(reader.rebuild_shard(CODE, lost, len(ARTIFACT), sources, LEAVES, first=first))


@pytest.mark.parametrize("first", [0, 1, BATCH_CHUNKS, CHUNKS - 1])
def test_a_copy_is_read_from_any_chunk_on_from_all_in_turn(first: int) -> None:
    sources = [Source(name, COPY) for name in "abc"]
    read = PieceReader().read_copy(sources, leaf_digests(COPY), first, 1)
    assert b"".join(read) == COPY[first * CHUNK_BYTES :]
    assert sources[1].reads[0] == first
    if first == 0:
        assert [len(each.reads) for each in sources] == [1, 1, 1]


@pytest.mark.parametrize("fault", [gone, junk, nothing])
def test_a_source_that_fails_is_asked_once(fault: Callable[[list[bytes]], list[bytes]]) -> None:
    bad, good = Source("bad", COPY, fault), Source("good", COPY)
    reader = PieceReader()
    assert b"".join(reader.read_copy([bad, good], leaf_digests(COPY), 0, 0)) == COPY
    assert len(bad.reads) == 1
    assert list(reader.failed) == ["bad"]


def test_without_a_good_source_it_says_what_was_wrong_with_each() -> None:
    sources = [Source("a", COPY, gone), Source("b", COPY, junk)]
    with pytest.raises(NoSourceError, match="a: gone; b: chunks from 0 on are not the piece's"):
        list(PieceReader().read_copy(sources, leaf_digests(COPY), 0, 0))
    with pytest.raises(NoSourceError, match="nobody else keeps anything"):
        list(PieceReader().read_copy([], leaf_digests(COPY), 0, 0))


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_shard_is_made_from_as_many_others_as_the_artifact_has_parts(lost: int) -> None:
    others = shard_sources(*(number for number in range(4) if number != lost))
    assert rebuild(others, lost) == SHARDS[lost]
    assert sorted(len(each.reads) for each in others.values()) == [0, 3, 3]


@pytest.mark.parametrize("first", [1, BATCH_CHUNKS, CHUNKS - 1])
def test_making_a_shard_goes_on_at_any_chunk(first: int) -> None:
    assert rebuild(shard_sources(1, 2), 0, first) == SHARDS[0][first * CHUNK_BYTES :]


def test_a_shard_that_somebody_still_has_is_copied() -> None:
    sources = shard_sources(0, 1, 2)
    assert rebuild(sources, 1) == SHARDS[1]
    assert (sources[0].reads, sources[2].reads) == ([], [])


@pytest.mark.parametrize("fault", [gone, junk, nothing])
@pytest.mark.parametrize("bad", [0, 1, 3])
def test_a_bad_source_of_a_shard_is_replaced_by_another(bad: int, fault: Callable[[list[bytes]], list[bytes]]) -> None:
    sources = shard_sources(0, 1, 2, 3)
    sources[bad].answer = fault
    assert rebuild(sources, 1) == SHARDS[1]
    assert len(sources[bad].reads) <= 1


def test_too_few_shards_are_not_enough() -> None:
    sources = shard_sources(0, 2, 3)
    sources[0].answer = sources[3].answer = junk
    with pytest.raises(NoSourceError, match="2 sources are needed, 1 are left"):
        rebuild(sources, 1)


@pytest.mark.parametrize("answer", [None, b"bytes", "text", [None], ["text"], (b"tuple",), [b"good", 1], {b"a": 1}])
def test_an_answer_that_is_no_list_of_chunks_is_a_failure_of_its_sender(answer: object) -> None:
    with pytest.raises(OSError, match="not a list of chunks"):
        checked_chunks(answer)


def test_a_list_of_chunks_is_one() -> None:
    assert checked_chunks([b"a", b""]) == [b"a", b""]
