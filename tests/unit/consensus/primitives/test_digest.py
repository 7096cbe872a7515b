"""Tagged SHA-256 and the bulk digest."""

import hashlib

import pytest
from blake3 import blake3

from consensus.primitives.digest import CHUNK_BYTES, bulk_digest, bulk_root, chunk_count, leaf_digests, sha256
from consensus.primitives.integers import ZERO_DIGEST
from tests.kit.work import word


def test_prefixes_every_part_with_its_length() -> None:
    message = (3).to_bytes(8, "big") + b"tag" + (2).to_bytes(8, "big") + b"ab"
    assert sha256("tag", b"ab") == hashlib.sha256(message).digest()


def test_tells_lists_of_parts_apart() -> None:
    assert len({sha256("t", b"ab"), sha256("t", b"a", b"b"), sha256("t", b"", b"ab"), sha256("ta", b"b")}) == 4


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 0), (1, 1), (CHUNK_BYTES - 1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2)]
)
def test_counts_chunks(size: int, chunks: int) -> None:
    assert chunk_count(size) == chunks
    assert len(leaf_digests(bytes(size))) == chunks


def test_has_the_shape_of_rfc_6962() -> None:
    data = bytes(2 * CHUNK_BYTES + 5)

    def node(left: bytes, right: bytes) -> bytes:
        return blake3(left + right, derive_key_context="pouw 2026 bulk digest node").digest()

    first, second, third = leaf_digests(data)
    root = node(node(first, second), third) + len(data).to_bytes(8, "big") + ZERO_DIGEST
    assert bulk_digest(data) == blake3(root, derive_key_context="pouw 2026 bulk digest root").digest()


def test_reads_any_contiguous_buffer_in_place() -> None:
    data = bytes(range(256)) * 2_000
    assert bulk_digest(memoryview(data).cast("I")) == bulk_digest(bytearray(data)) == bulk_digest(data)


def test_binds_the_meaning_and_the_size() -> None:
    leaves = leaf_digests(b"weights")
    digests = {bulk_digest(b"weights"), bulk_digest(b"weights", word("layout")), bulk_root(leaves, 8)}
    assert len(digests) == 3


def test_tells_no_bytes_from_a_zero_byte() -> None:
    assert bulk_digest(b"") != bulk_digest(b"\x00")
