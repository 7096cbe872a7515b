"""Headers and blocks. A header without a seal is a template; a mechanism sees opaque seal bytes of its own."""

import hashlib
from typing import TypeAlias

from consensus.primitives.digest import sha256
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, Height, PublicKey, Signature, Target, TimeMs, Uint32

BlockHash: TypeAlias = Digest


class Header(Record, frozen=True, tag="pouw/header/1"):
    """A block template: everything but the seal."""

    chain_id: Digest
    height: Height
    parent: BlockHash
    time_ms: TimeMs
    mechanism: str
    """Which registered mechanism judges the seal."""
    producer: PublicKey
    """Who made the block and receives its reward."""
    target: Target
    transactions_root: Digest
    """Merkle root over the signed transactions in order."""
    history_root: Digest
    """Merkle root over the slot reports that the block's round commits name, in order."""
    state_root: Digest
    """Root of the ledger after the block."""

    @property
    def template_hash(self) -> Digest:
        """What a miner commits to before it may mine with this header."""
        return sha256("pouw/template/1", encode(self))


class Block(Record, frozen=True, tag="pouw/block/1"):
    """A header, its seal and its transactions."""

    header: Header
    seal: bytes
    transactions: tuple[bytes, ...]
    """Canonical bytes of `Signed` envelopes."""

    @property
    def hash(self) -> BlockHash:
        return sha256("pouw/block-hash/1", encode(self.header), hashlib.sha256(self.seal).digest())


class Vote(Record, frozen=True, tag="pouw/vote/1"):
    """A supervisor's precommit for one block."""

    height: Height
    block: BlockHash


class BeaconShare(Record, frozen=True, tag="pouw/beacon-share/1"):
    """What supervisors sign to make the beacon of a height. It names no block, so no choice of block can bias it."""

    height: Height
    previous: Digest


class Endorsement(Record, frozen=True, tag="pouw/endorsement/1"):
    """One supervisor's vote and beacon share, by signature."""

    supervisor: PublicKey
    vote: Signature
    beacon_share: Signature


class Certificate(Record, frozen=True, tag="pouw/certificate/1"):
    """Why a block is final: a quorum's endorsements in the order of the committee."""

    height: Height
    block: BlockHash
    round: Uint32
    endorsements: tuple[Endorsement, ...]
