"""Any k shards give the artifact back and make any lost shard again, stripe by stripe, or say what is missing."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.primitives.digest import CHUNK_BYTES
from storage.chunking import cut_chunks
from storage.erasure import ErasureCode
from storage.errors import ErasureError


def content(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def shards_of(code: ErasureCode, data: bytes) -> list[bytes]:
    return [b"".join(chunks) for chunks in zip(*code.encode(data), strict=True)] or [b""] * code.total_shards


@settings(max_examples=60)
@given(data=st.data())
def test_any_k_shards_give_the_artifact_and_each_lost_shard_back(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 9))
    code = ErasureCode.of(data.draw(st.integers(1, total)), total)
    near = data.draw(
        st.sampled_from([0, CHUNK_BYTES, code.data_shards * CHUNK_BYTES, 2 * code.data_shards * CHUNK_BYTES])
    )
    size = max(0, near + data.draw(st.integers(-3, 3) | st.integers(0, CHUNK_BYTES)))
    whole = content(size)
    shards = shards_of(code, whole)
    assert {len(shard) for shard in shards} == {code.shard_size(size)}
    numbers = data.draw(st.permutations(range(total)))[: code.data_shards]
    kept = {number: [shards[number]] for number in numbers}
    assert list(code.decode(kept, size)) == list(cut_chunks(whole))
    lost = data.draw(
        st.integers(0, total - 1).filter(lambda number: number not in numbers)
        if code.data_shards < total
        else st.just(-1)
    )
    if lost >= 0:
        assert b"".join(code.repair(kept, lost, size)) == shards[lost]
        assert b"".join(code.encode_shard(whole, lost)) == shards[lost]


def test_data_shards_are_the_artifacts_own_chunks() -> None:
    whole = content(6 * CHUNK_BYTES)
    chunks = list(cut_chunks(whole))
    shards = shards_of(ErasureCode.of(3, 5), whole)
    assert [list(cut_chunks(shard)) for shard in shards[:3]] == [chunks[0::3], chunks[1::3], chunks[2::3]]


def test_shards_of_one_are_copies() -> None:
    whole = content(CHUNK_BYTES + 7)
    assert shards_of(ErasureCode.of(1, 3), whole) == [whole] * 3


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, 1), (10, 3), (4 * CHUNK_BYTES, CHUNK_BYTES)])
def test_small_artifacts_have_small_shards(size: int, expected: int) -> None:
    assert ErasureCode.of(4, 6).shard_size(size) == expected


def test_shards_are_code_words_that_do_not_change() -> None:
    """What is on chain today has to be the same tomorrow: two parity bytes of a known stripe."""
    shards = shards_of(ErasureCode.of(3, 5), bytes([1, 2, 3]))
    assert [shard.hex() for shard in shards] == ["01", "02", "03", "15", "69"]


@pytest.mark.parametrize(("data_shards", "total"), [(0, 3), (4, 3), (3, 257), (-1, -1)])
def test_impossible_numbers_are_refused(data_shards: int, total: int) -> None:
    with pytest.raises(ErasureError, match="shards"):
        ErasureCode.of(data_shards, total)


def test_too_few_shards_are_named_before_anything_is_read() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("was read")
        yield b""

    code = ErasureCode.of(3, 5)
    with pytest.raises(ErasureError, match="3 shards are needed, 2 are here: 0, 2, 4") as caught:
        code.decode({1: never(), 3: never()}, 100)
    assert caught.value.shards == (0, 2, 4)
    with pytest.raises(ErasureError, match="2 are here"):
        code.repair({0: never(), 1: never(), 2: never()}, 2, 100)
    for wrong in (5, -1):
        with pytest.raises(ErasureError, match="shards 0 to 4"):
            code.repair({0: never(), 1: never(), 2: never()}, wrong, 100)
        with pytest.raises(ErasureError, match="shards 0 to 4"):
            code.decode({0: never(), 1: never(), wrong: never()}, 100)
        with pytest.raises(ErasureError, match="shards 0 to 4"):
            code.encode_shard(b"x", wrong)


@pytest.mark.parametrize("change", [-1, 1, -CHUNK_BYTES, CHUNK_BYTES])
def test_shard_of_another_size_is_named(change: int) -> None:
    code = ErasureCode.of(2, 3)
    size = 4 * CHUNK_BYTES + 10
    shards = shards_of(code, content(size))
    wrong = shards[2][:change] if change < 0 else shards[2] + bytes(change)
    with pytest.raises(ErasureError) as caught:
        list(code.decode({0: [shards[0]], 2: [wrong]}, size))
    assert caught.value.shards == (2,)


def test_repair_reads_k_shards_once_and_holds_few_stripes() -> None:
    code, stripes = ErasureCode.of(2, 4), 50
    size = 2 * stripes * CHUNK_BYTES
    read = dict.fromkeys(range(4), 0)
    ahead = 0

    def stream(number: int) -> Iterator[bytes]:
        for _ in range(stripes):
            read[number] += CHUNK_BYTES
            yield bytes(CHUNK_BYTES)

    for done, chunk in enumerate(code.repair({number: stream(number) for number in (0, 1, 2)}, 3, size), 1):
        ahead = max(ahead, max(read.values()) // CHUNK_BYTES - done)
        assert len(chunk) == CHUNK_BYTES
    assert read == {0: stripes * CHUNK_BYTES, 1: stripes * CHUNK_BYTES, 2: 0, 3: 0}
    assert ahead == 0
