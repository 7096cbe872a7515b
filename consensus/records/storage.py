"""What is said about keeping artifacts: stakes, offers, deals, and the life of each provider's copy of a piece.

A message about a copy names its `term`, the number of the piece's assignment. A signed message of an earlier term is
therefore never valid again, even if the same provider comes to hold the piece a second time.
"""

from typing import TypeAlias

from consensus.primitives.encoding import Record
from consensus.primitives.integers import Credits, Digest, Height, PublicKey, Sequence, Uint32, Uint63

DealId: TypeAlias = Digest
"""The digest of the signed `OpenDeal`."""


class Stake(Record, frozen=True, tag="pouw/stake/1"):
    """Move credits from the signer's balance to its stake."""

    sequence: Sequence
    amount: Credits


class Unstake(Record, frozen=True, tag="pouw/unstake/1"):
    """Move credits from the signer's stake, as far as it is not locked, to its balance."""

    sequence: Sequence
    amount: Credits


class OfferStorage(Record, frozen=True, tag="pouw/offer-storage/1"):
    """The signer offers to keep pieces, or changes its offer. It also ends a suspension."""

    sequence: Sequence
    node: str
    """The machine: 1 to 64 printable ASCII characters. Pieces of one deal go to different machines."""
    capacity: Uint63
    """Bytes. Less than what it keeps is allowed: it gets no new pieces then."""


class PieceRoot(Record, frozen=True, tag="pouw/piece-root/1"):
    """One piece of a deal: an artifact of its own."""

    root: Digest
    size: Uint63
    """Bytes."""


class StorageTerms(Record, frozen=True, tag="pouw/storage-terms/1"):
    """How a job's weights are to be kept once it is completed, paid for with the job."""

    data_pieces: Uint32
    """Any so many pieces give the weights back. With 1 each piece is all of them."""
    total_pieces: Uint32
    price: Credits
    """Paid for one piece in one challenge."""
    collateral: Credits
    """Locked of a provider's stake for each piece it holds."""
    proofs: Uint63
    """Challenges until the deal is over."""

    @property
    def escrow(self) -> int:
        """What all challenges of all pieces cost."""
        return self.price * self.total_pieces * self.proofs


class OpenDeal(Record, frozen=True, tag="pouw/open-deal/1"):
    """Pay for keeping an artifact. `price * len(pieces) * proofs` moves into escrow."""

    sequence: Sequence
    root: Digest
    """The bulk root of the artifact."""
    size: Uint63
    """Bytes of the artifact."""
    binding: Digest
    """What the artifact's root is bound to."""
    data_pieces: Uint32
    """Any so many pieces give the artifact back. With 1 each piece is the artifact itself."""
    pieces: tuple[PieceRoot, ...]
    price: Credits
    """Paid for one piece in one challenge."""
    collateral: Credits
    """Locked of a provider's stake for each piece it holds."""
    proofs: Uint63
    """Challenges until the deal is over."""
    job: Digest | None = None
    """The job that the artifact comes from."""


class KeepWeights(Record, frozen=True, tag="pouw/keep-weights/1"):
    """A supervisor opens the deal about a completed job's weights, on the terms and with the money of the job."""

    job: Digest
    size: Uint63
    """Bytes of the weights."""
    binding: Digest
    """Digest of their layout, which the state digest is bound to."""
    pieces: tuple[PieceRoot, ...]


class CloseDeal(Record, frozen=True, tag="pouw/close-deal/1"):
    """The client ends its deal now. What is proved is paid; the rest of the escrow is refunded."""

    sequence: Sequence
    deal: DealId


class AssignPiece(Record, frozen=True, tag="pouw/assign-piece/1"):
    """A supervisor gives a vacant piece, or the succession of a leaving one, to a provider."""

    deal: DealId
    piece: Uint32
    term: Uint63
    """How often the piece was assigned before."""
    provider: PublicKey


class CommitReplica(Record, frozen=True, tag="pouw/commit-replica/1"):
    """The provider has sealed the piece that it was assigned."""

    deal: DealId
    piece: Uint32
    term: Uint63
    replica: Digest
    """The replica root."""


class JudgeReplica(Record, frozen=True, tag="pouw/judge-replica/1"):
    """What a supervisor's spot checks of a sealed piece came to."""

    deal: DealId
    piece: Uint32
    term: Uint63
    replica: Digest
    """The replica root that was checked."""
    accepted: bool
    reason: str = ""


class LeavePiece(Record, frozen=True, tag="pouw/leave-piece/1"):
    """The provider of an active piece asks to be replaced. It proves and is paid until it is."""

    deal: DealId
    piece: Uint32
    term: Uint63


class DropPiece(Record, frozen=True, tag="pouw/drop-piece/1"):
    """A supervisor takes a piece from a provider that did not deliver it. No fault is proven: collateral is freed."""

    deal: DealId
    piece: Uint32
    term: Uint63


class ProveStorage(Record, frozen=True, tag="pouw/prove-storage/1"):
    """The sectors of a replica that the beacon of `height` draws, and what leads from them to the replica root."""

    deal: DealId
    piece: Uint32
    height: Height
    """The challenge that is answered."""
    sectors: tuple[bytes, ...]
    siblings: tuple[Digest, ...]


class SettleChallenge(Record, frozen=True, tag="pouw/settle-challenge/1"):
    """A supervisor ends a challenge: proved pieces are paid, the others get a strike."""

    deal: DealId
    height: Height
    """The challenge that is settled."""


class ReportService(Record, frozen=True, tag="pouw/report-service/1"):
    """A supervisor's word that a provider did not hand out a piece that it keeps. One strike, once a challenge."""

    deal: DealId
    piece: Uint32
    term: Uint63
    height: Height
    """The deal's next challenge, or the one that is open."""
    reason: str = ""


class Pulse(Record, frozen=True, tag="pouw/pulse/1"):
    """A supervisor asks for nothing but a block, so that challenges come although nothing else happens."""

    height: Height
    """The block that may hold it."""


DealTransaction: TypeAlias = Stake | Unstake | OfferStorage | OpenDeal | KeepWeights | CloseDeal
"""Of accounts' credits and offers."""
PieceTransaction: TypeAlias = (
    AssignPiece
    | CommitReplica
    | JudgeReplica
    | LeavePiece
    | DropPiece
    | ProveStorage
    | SettleChallenge
    | ReportService
    | Pulse
)
StorageTransaction: TypeAlias = DealTransaction | PieceTransaction
