"""Bounded integer and fixed-size byte types that every record is made of.

The bounds are enforced by the codec when bytes are decoded, so a value of one of these types that came from outside is
known to be in range. Constructors do not check; `encoding.encode` followed by `decode` does.
"""

from typing import Annotated, Final, NewType

from msgspec import Meta

MAX_UINT32: Final = 2**32 - 1
MAX_UINT63: Final = 2**63 - 1

Height = NewType("Height", Annotated[int, Meta(ge=0, le=MAX_UINT63)])
"""Position of a block; genesis is 0."""
Credits = NewType("Credits", Annotated[int, Meta(ge=0, le=MAX_UINT63)])
"""An amount on the ledger in millionths of a credit."""
Sequence = NewType("Sequence", Annotated[int, Meta(ge=0, le=MAX_UINT63)])
"""How many transactions an account has sent before this one."""
TimeMs = NewType("TimeMs", Annotated[int, Meta(ge=0, le=MAX_UINT63)])
"""Milliseconds since the Unix epoch."""
Uint32 = Annotated[int, Meta(ge=0, le=MAX_UINT32)]
Uint63 = Annotated[int, Meta(ge=0, le=MAX_UINT63)]
Ppm = Annotated[int, Meta(ge=0, le=1_000_000)]
"""A share in millionths."""

Digest = NewType("Digest", Annotated[bytes, Meta(min_length=32, max_length=32)])
"""32 bytes: SHA-256 for chain objects, BLAKE3 tree roots for bulk data."""
PublicKey = NewType("PublicKey", Annotated[bytes, Meta(min_length=32, max_length=32)])
"""Raw Ed25519 public key; it is also the account's address and the miner's name."""
Signature = NewType("Signature", Annotated[bytes, Meta(min_length=64, max_length=64)])
"""Raw Ed25519 signature."""
Target = NewType("Target", Annotated[bytes, Meta(min_length=32, max_length=32)])
"""Big-endian 256-bit number that a proof-of-work hash must be below."""

UNITS_PER_CREDIT: Final = 1_000_000
ZERO_DIGEST: Final = Digest(bytes(32))
