"""Ed25519 keys. A `SecretKey` stays in the process that owns it; everything else knows the 32-byte public key."""

from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consensus.primitives.integers import PublicKey, Signature


class Signer(Protocol):
    """Whoever can sign for one public key."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, message: bytes) -> Signature: ...


class SecretKey:
    """An Ed25519 secret key. It refuses to be pickled, so it cannot leave its process by accident."""

    __slots__ = ("_private", "public_key")

    def __init__(self, seed: bytes) -> None:
        """`seed`: the 32 secret bytes of RFC 8032."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = PublicKey(self._private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> Signature:
        """Deterministic Ed25519 signature of `message`."""
        return Signature(self._private.sign(message))

    def __reduce__(self) -> str:
        raise TypeError("a secret key never leaves the process that owns it")

    def __repr__(self) -> str:
        return f"SecretKey({self.public_key.hex()[:16]}...)"


def is_valid_signature(public_key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Whether `signature` is a signature of `message` under `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
