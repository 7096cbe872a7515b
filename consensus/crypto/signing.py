"""Signed envelopes: who said which record on which chain.

The signature covers a fixed domain, the chain id and the record's canonical bytes. The record's own type tag is the
first field of those bytes, so a signature for one kind of message is never valid for another kind or for another chain.
"""

from typing import Final, TypeVar

from consensus.crypto.keys import Signer, is_valid_signature
from consensus.errors import SignatureError
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import MAX_RECORD_BYTES, Record, decode, encode
from consensus.primitives.integers import Digest, PublicKey, Signature

_DOMAIN: Final = b"pouw/signed-message/1"

Message = TypeVar("Message", bound=Record)


class Signed(Record, frozen=True, tag="pouw/signed/1"):
    """Canonical bytes of one record with its signer's key and signature."""

    body: bytes
    signer: PublicKey
    signature: Signature

    @property
    def digest(self) -> Digest:
        """What names this message: the SHA-256 of body and signer. The signature is left out, it is not unique."""
        return sha256("pouw/message/1", self.body, self.signer)


def signing_bytes(chain_id: Digest, body: bytes) -> bytes:
    """What a signature is over."""
    return _DOMAIN + chain_id + body


def sign(signer: Signer, chain_id: Digest, message: Record) -> Signed:
    """Sign a record for one chain."""
    body = encode(message)
    return Signed(body=body, signer=signer.public_key, signature=signer.sign(signing_bytes(chain_id, body)))


def check_signature(signed: Signed, chain_id: Digest) -> None:
    """Raises SignatureError unless the envelope was signed by its signer for this chain."""
    if not is_valid_signature(signed.signer, signing_bytes(chain_id, signed.body), signed.signature):
        raise SignatureError(f"signature of {signed.signer.hex()[:16]} is not valid on chain {chain_id.hex()[:16]}")


def open_signed(signed: Signed, kind: type[Message], chain_id: Digest) -> Message:
    """Check the signature, then decode the body.

    Raises:
        SignatureError: forged, altered, or signed for another chain.
        EncodingError: the body is not a canonical `kind`.
    """
    check_signature(signed, chain_id)
    return decode(signed.body, kind)


def decode_signed(data: bytes, *, limit: int = MAX_RECORD_BYTES) -> Signed:
    """Decode an envelope; neither its signature nor its body is checked yet."""
    return decode(data, Signed, limit=limit)
