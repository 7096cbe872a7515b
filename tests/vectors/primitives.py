"""Vectors of the codec, the digests, the Merkle trees and the signatures."""

from consensus.crypto.signing import sign, signing_bytes
from consensus.primitives.digest import CHUNK_BYTES, bulk_digest, sha256
from consensus.primitives.encoding import encode
from consensus.primitives.merkle import merkle_root, prove_inclusion
from tests.kit.genesis import secret_key
from tests.kit.records import RECORD_KINDS
from tests.kit.work import word
from tests.vectors.examples import example

CHAIN_ID = word("chain")
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES)


def codec_vectors() -> object:
    """The canonical bytes of one record of each kind."""
    return {kind.__name__: encode(example(kind)).hex() for kind in RECORD_KINDS}


def digest_vectors() -> object:
    """Tagged SHA-256 of some parts, and bulk digests of `counting` bytes at sizes around the chunk."""
    parts = [[], [b""], [b"a"], [b"a", b"b"], [b"ab"]]
    return {
        "sha256": [
            {"tag": "tag", "parts": [p.hex() for p in item], "digest": sha256("tag", *item).hex()} for item in parts
        ],
        "bulk": [
            {
                "size_bytes": size,
                "digest": bulk_digest(counting(size)).hex(),
                "bound_to_word_layout": bulk_digest(counting(size), word("layout")).hex(),
            }
            for size in SIZES
        ],
    }


def counting(size: int) -> bytes:
    """Byte i is i modulo 251, a prime, so that no two chunks are equal."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def merkle_vectors() -> object:
    """Roots and audit paths over the entries 00, 01, 02, ..."""
    lists = [[bytes([number]) for number in range(count)] for count in range(9)]
    return [
        {
            "entries": len(entries),
            "root": merkle_root(entries).hex(),
            "paths": [[node.hex() for node in prove_inclusion(entries, index)] for index in range(len(entries))],
        }
        for entries in lists
    ]


def signature_vectors() -> object:
    """Signed messages under the test keys."""
    vectors = []
    for name, kind in zip(("client", "miner", "coordinator"), RECORD_KINDS, strict=False):
        signed = sign(secret_key(name), CHAIN_ID, example(kind))
        vectors.append(
            {
                "key": name,
                "public_key": signed.signer.hex(),
                "chain_id": CHAIN_ID.hex(),
                "message": signing_bytes(CHAIN_ID, signed.body).hex(),
                "signature": signed.signature.hex(),
                "digest": signed.digest.hex(),
                "envelope": encode(signed).hex(),
            }
        )
    return vectors
