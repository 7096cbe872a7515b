"""The seal of an authority block: the producer's signature over the header, nothing else."""

from consensus.crypto.keys import Signer
from consensus.crypto.signing import Signed, check_signature, sign
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, Signature
from consensus.records.block import Header


def seal_header(signer: Signer, chain_id: Digest, header: Header) -> bytes:
    """The seal bytes of a header by its producer."""
    return sign(signer, chain_id, header).signature


def check_header_signature(header: Header, seal: bytes, chain_id: Digest) -> None:
    """Raises SignatureError unless the producer signed this header for this chain."""
    check_signature(Signed(body=encode(header), signer=header.producer, signature=Signature(seal)), chain_id)
