"""Why an opening of a replica is not accepted."""

from enum import StrEnum

from consensus.errors import ConsensusError


class SealFault(StrEnum):
    """Values never change meaning."""

    CHUNK = "chunk"
    """The opening is of another chunk than was asked for."""
    LENGTH = "length"
    """The opening has more or fewer bytes than its place in the replica."""
    PROOF = "proof"
    """The bytes are not those under the replica's root."""
    PADDING = "padding"
    """What was unsealed does not end in zeros behind the piece."""
    LEAF = "leaf"
    """What was unsealed is not the piece."""


class SealError(ConsensusError):
    """An opening does not show that the replica is the piece, sealed for its provider."""

    def __init__(self, fault: SealFault, chunk: int) -> None:
        self.fault = fault
        self.chunk = chunk
        super().__init__(fault, chunk)

    def __str__(self) -> str:
        return f"opening of chunk {self.chunk} refused: {self.fault}"
