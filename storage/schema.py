"""Every key of every store in one place. Numbers are big-endian, so key order is their order.

A change of meaning is a new `SCHEMA_VERSION`; a store of another version is refused, not guessed at.
"""

from typing import Final

from consensus.primitives.integers import Digest, Height

SCHEMA_VERSION: Final = 1

# the chain's database: one environment, so that a block and all it changes land together
VERSION_KEY: Final = b"v/schema"
GENESIS_KEY: Final = b"v/genesis"
TIP_KEY: Final = b"v/tip"
NEXT_ARRIVAL_KEY: Final = b"v/next-arrival"
NEXT_JOB_KEY: Final = b"v/next-job"
BLOCK: Final = b"b/"
CERTIFICATE: Final = b"c/"
BEACON: Final = b"e/"
HEIGHT_OF_BLOCK: Final = b"h/"
DATASET: Final = b"d/"
CHECKPOINT: Final = b"k/"
LAYOUT: Final = b"y/"
ARRIVED_JOB: Final = b"j/"
LEDGER: Final = b"l/"
WAITING: Final = b"m/"
ARRIVAL: Final = b"n/"
ROUND_COMMIT: Final = b"o/"
REPORT: Final = b"r/"
HEIGHT_OF_TRANSACTION: Final = b"x/"
PIECE_MANIFEST: Final = b"p/"
PLACED_DEAL: Final = b"q/"

# the artifacts' database: another environment, bulk data must not slow the chain down
ARTIFACT_BYTES_KEY: Final = b"V/bytes"
MANIFEST: Final = b"A/"
CHUNK: Final = b"C/"
REFERENCES: Final = b"R/"
HOLDS: Final = b"H/"

# the replicas' database, on storage providers
REPLICA: Final = b"P/"
REPLICA_MANIFEST: Final = b"N/"
REPLICA_CHUNK: Final = b"Q/"
GROUP_ROOT: Final = b"G/"
DROPPED_REPLICA: Final = b"Z/"

_NUMBER_BYTES: Final = 8


def number_bytes(number: int) -> bytes:
    """A counter, height or sequence as it is stored, in keys and in values."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def block_key(height: Height) -> bytes:
    """Height -> block."""
    return BLOCK + number_bytes(height)


def certificate_key(height: Height) -> bytes:
    """Height -> certificate of its block."""
    return CERTIFICATE + number_bytes(height)


def beacon_key(height: Height) -> bytes:
    """Height -> beacon."""
    return BEACON + number_bytes(height)


def height_of_block_key(block_hash: Digest) -> bytes:
    """Block hash -> height."""
    return HEIGHT_OF_BLOCK + block_hash


def height_of_transaction_key(digest: Digest) -> bytes:
    """Digest of a signed transaction -> height of the block that holds it."""
    return HEIGHT_OF_TRANSACTION + digest


def ledger_key(key: bytes) -> bytes:
    """Key of a ledger entry -> its value."""
    return LEDGER + key


def waiting_key(arrival: int) -> bytes:
    """Place in the order of arrival -> signed transaction."""
    return WAITING + number_bytes(arrival)


def arrival_key(digest: Digest) -> bytes:
    """Digest of a waiting transaction -> its place in the order of arrival."""
    return ARRIVAL + digest


def report_key(digest: Digest) -> bytes:
    """Digest of a signed slot report -> the envelope."""
    return REPORT + digest


def round_commit_key(job: Digest, round_number: int) -> bytes:
    """Job and round -> the signed round commit."""
    return ROUND_COMMIT + job + number_bytes(round_number)


def manifest_key(root: Digest) -> bytes:
    """Artifact root -> manifest."""
    return MANIFEST + root


def chunk_key(leaf: Digest) -> bytes:
    """Leaf digest -> chunk."""
    return CHUNK + leaf


def references_key(leaf: Digest) -> bytes:
    """Leaf digest -> number of complete artifacts that contain the chunk."""
    return REFERENCES + leaf


def holds_key(leaf: Digest) -> bytes:
    """Leaf digest -> number of unfinished puts that need the chunk."""
    return HOLDS + leaf


def replica_key(name: bytes) -> bytes:
    """Name of a replica (deal, piece) -> what is known of it."""
    return REPLICA + name


def replica_manifest_key(name: bytes) -> bytes:
    """Name of a replica -> manifest of its piece's artifact."""
    return REPLICA_MANIFEST + name


def replica_chunk_key(name: bytes, index: int) -> bytes:
    """Name of a replica and a chunk's place -> the chunk with its checksum."""
    return REPLICA_CHUNK + name + number_bytes(index)


def group_root_key(name: bytes, index: int) -> bytes:
    """Name of a replica and a chunk's place -> the chunk's node of the replica tree."""
    return GROUP_ROOT + name + number_bytes(index)


def dropped_replica_key(name: bytes) -> bytes:
    """Name of a replica whose chunks are being deleted -> what was known of it."""
    return DROPPED_REPLICA + name


def dataset_key(root: Digest) -> bytes:
    """Dataset root -> encoded manifest."""
    return DATASET + root


def layout_key(digest: Digest) -> bytes:
    """Layout digest -> encoded layout of a model's state."""
    return LAYOUT + digest


def checkpoint_key(job: Digest, round_number: int) -> bytes:
    """Job and round -> roots of the artifacts it can be resumed from."""
    return CHECKPOINT + job + number_bytes(round_number)


def arrived_job_key(job: Digest) -> bytes:
    """Job -> its place in the order of arrival."""
    return ARRIVED_JOB + job


def piece_manifest_key(root: Digest) -> bytes:
    """Root of a piece -> what it is made of."""
    return PIECE_MANIFEST + root


def placed_deal_key(deal: Digest) -> bytes:
    """Deal -> nothing: all its pieces were active at one time."""
    return PLACED_DEAL + deal
