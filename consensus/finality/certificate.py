"""Certificates: why a block is final, and the beacon that its finality releases.

A supervisor endorses a block with two signatures: one over the block, one over the beacon's place in the chain of
beacons, which names no block. The beacon of a height is the hash of the second ones. Nobody knows it before a quorum
has spoken. Until threshold signatures make it unique, it is bound to the certificate at hand: nodes must hold the same
one for a height, and a member of the quorum who speaks last can still choose whether to speak.
"""

from typing import Final

from consensus.crypto.keys import Signer, is_valid_signature
from consensus.crypto.signing import sign, signing_bytes
from consensus.errors import InvalidBlockError, Reject
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.block import BeaconShare, Block, Certificate, Endorsement, Vote

_BEACON_TAG: Final = "pouw/beacon/1"


def quorum(supervisors: int) -> int:
    """How many of a committee make a block final: more than two thirds."""
    return 2 * supervisors // 3 + 1


def endorse(signer: Signer, chain_id: Digest, block: Block, previous_beacon: Digest) -> Endorsement:
    """A supervisor's word for a block, after the beacon of the height before."""
    height = block.header.height
    return Endorsement(
        supervisor=signer.public_key,
        vote=sign(signer, chain_id, Vote(height=height, block=block.hash)).signature,
        beacon_share=sign(signer, chain_id, BeaconShare(height=height, previous=previous_beacon)).signature,
    )


def check_endorsement(endorsement: Endorsement, block: Block, chain_id: Digest, previous_beacon: Digest) -> None:
    """Raises InvalidBlockError(CERTIFICATE) unless both signatures are for this block and its beacon."""
    vote, share = _messages(block, chain_id, previous_beacon)
    _check_signatures(endorsement, vote, share)


def check_certificate(
    certificate: Certificate,
    block: Block,
    committee: tuple[PublicKey, ...],
    chain_id: Digest,
    previous_beacon: Digest,
) -> None:
    """Raises InvalidBlockError(CERTIFICATE) unless a quorum, in the committee's order, endorsed this block."""
    if certificate.height != block.header.height or certificate.block != block.hash:
        raise InvalidBlockError(Reject.CERTIFICATE, height=certificate.height, block=certificate.block)
    supervisors = [endorsement.supervisor for endorsement in certificate.endorsements]
    if supervisors != [member for member in committee if member in supervisors]:
        raise InvalidBlockError(Reject.CERTIFICATE, reason="not different members in the committee's order")
    if len(supervisors) < quorum(len(committee)):
        raise InvalidBlockError(Reject.CERTIFICATE, endorsed=len(supervisors), quorum=quorum(len(committee)))
    vote, share = _messages(block, chain_id, previous_beacon)
    for endorsement in certificate.endorsements:
        _check_signatures(endorsement, vote, share)


def derive_beacon(certificate: Certificate, previous_beacon: Digest) -> Digest:
    """The beacon that a checked certificate releases."""
    shares = [endorsement.beacon_share for endorsement in certificate.endorsements]
    return sha256(_BEACON_TAG, previous_beacon, *shares)


def _messages(block: Block, chain_id: Digest, previous_beacon: Digest) -> tuple[bytes, bytes]:
    """What a vote and a beacon share sign."""
    height: Height = block.header.height
    vote = encode(Vote(height=height, block=block.hash))
    share = encode(BeaconShare(height=height, previous=previous_beacon))
    return signing_bytes(chain_id, vote), signing_bytes(chain_id, share)


def _check_signatures(endorsement: Endorsement, vote: bytes, share: bytes) -> None:
    if not is_valid_signature(endorsement.supervisor, vote, endorsement.vote):
        raise InvalidBlockError(Reject.CERTIFICATE, supervisor=endorsement.supervisor, forged="vote")
    if not is_valid_signature(endorsement.supervisor, share, endorsement.beacon_share):
        raise InvalidBlockError(Reject.CERTIFICATE, supervisor=endorsement.supervisor, forged="beacon share")
