"""Vectors of proof of storage: trees of sectors, proofs, draws, seals and an opening."""

from consensus.primitives.digest import CHUNK_BYTES, sha256
from consensus.primitives.encoding import encode
from consensus.storage.challenge import draw_chunks, draw_sectors
from consensus.storage.multiproof import sibling_positions
from consensus.storage.seal import Seal, opening_sectors, seal_passes
from consensus.storage.sectors import group_root, replica_root, sector_leaves
from tests.kit.replicas import DEAL, PROVIDER, MemoryReplica, chunk_of
from tests.kit.work import word
from tests.vectors.primitives import counting

SIZES = (64, 1024, 1088, CHUNK_BYTES, CHUNK_BYTES + 64, 3 * CHUNK_BYTES + 1984)
CHOICES = ((1, (0,)), (2, (1,)), (5, (4,)), (12, (1, 4, 5, 11)), (257, (0, 255, 256)), (2**21, (7, 2**20, 2**21 - 1)))
MIB = 1 << 20


def sector_vectors() -> object:
    """Roots of `counting` bytes as replicas, which siblings proofs carry, and proofs of a few sectors."""
    return {
        "roots": [
            {"size_bytes": size, "root": replica_root(sector_leaves(counting(size)), size).hex()} for size in SIZES
        ],
        "siblings": [
            {"sectors": count, "indices": list(indices), "positions": [list(node) for node in nodes]}
            for count, indices, nodes in (
                (count, chosen, sibling_positions(count, chosen)) for count, chosen in CHOICES
            )
        ],
        "proofs": [_proof(size, indices) for size, indices in ((64, (0,)), (SIZES[-1], (2, 3, 255, 300, 769)))],
    }


def _proof(size: int, indices: tuple[int, ...]) -> object:
    replica = _counting_replica(size)
    _, siblings = replica.tree.prove(indices, replica.load)
    return {
        "size_bytes": size,
        "root": replica.tree.root.hex(),
        "indices": list(indices),
        "siblings": [node.hex() for node in siblings],
    }


def _counting_replica(size: int) -> MemoryReplica:
    chunks = {index: chunk_of(counting(size), index) for index in range(-(-size // CHUNK_BYTES))}
    return MemoryReplica(chunks, {index: group_root(chunk) for index, chunk in chunks.items()})


def storage_draw_vectors() -> object:
    """Sectors and chunks drawn for the test provider."""
    return [
        {
            "beacon": word("beacon").hex(),
            "deal": DEAL.hex(),
            "piece": piece,
            "provider": PROVIDER.hex(),
            "choices": choices,
            "sectors": list(draw_sectors(word("beacon"), DEAL, piece, PROVIDER, choices, 16)),
            "chunks": list(draw_chunks(word("beacon"), DEAL, piece, PROVIDER, choices, 4)),
        }
        for piece, choices in ((0, 4), (0, 17), (1, 1000), (63, 2**21), (2**40, 2**40))
    ]


def seal_vectors() -> object:
    """Seals of short `counting` pieces in full, the numbers of passes, and digests of openings."""
    pieces = [Seal.for_piece(DEAL, 3, PROVIDER, size=size, floor_bytes=1000) for size in (1, 64, 65, 200, 1500)]
    return {
        "passes": [
            {"size_bytes": size, "floor_bytes": 32 * MIB, "passes": seal_passes(size, 32 * MIB)}
            for size in (1, 64, 65, 32 * 1024 + 1, MIB - 1, MIB, 32 * MIB - 1, 32 * MIB, 2**40)
        ],
        "deal": DEAL.hex(),
        "piece": 3,
        "provider": PROVIDER.hex(),
        "seals": [_seal(seal) for seal in pieces],
        "openings": [_opening(passes, index) for passes in (1, 20) for index in (0, 1)],
    }


def _seal(seal: Seal) -> object:
    replica = MemoryReplica.sealed(seal, counting(seal.size))
    return {
        "size_bytes": seal.size,
        "passes": seal.passes,
        "key": seal.key.hex(),
        "replica": replica.data.hex(),
        "root": replica.tree.root.hex(),
    }


def _opening(passes: int, index: int) -> object:
    """Of `counting` bytes as a replica: what they unseal to does not matter here."""
    replica = _counting_replica(SIZES[-1])
    seal = Seal(size=SIZES[-1], passes=passes, key=bytes(64))
    before, _ = opening_sectors(seal, index)
    return {
        "size_bytes": seal.size,
        "passes": passes,
        "index": index,
        "before": list(before),
        "sha256": sha256("test", encode(replica.open(seal, index))).hex(),
    }
