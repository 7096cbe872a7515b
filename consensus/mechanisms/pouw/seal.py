"""What a miner shows for a block: who gave it the slot, what it did there, and where it committed to the block."""

from dataclasses import dataclass

from consensus.crypto.signing import Signed, check_signature, decode_signed
from consensus.errors import EncodingError, InvalidBlockError, Reject, SignatureError
from consensus.primitives.encoding import Record, decode
from consensus.primitives.integers import Digest, PublicKey, Uint32
from consensus.records.work import Assignment, SlotReport


class PouwSeal(Record, frozen=True, tag="pouw/pouw-seal/1"):
    """The winning nonce by name. The three messages are canonical bytes of `Signed` envelopes."""

    assignment: bytes
    """The coordinator's `Assignment` of the winning slot."""
    report: bytes
    """The miner's `SlotReport` of the winning slot."""
    step: Uint32
    attempt: Uint32
    """Which of the step's nonces won."""
    commitment: bytes
    """The miner's earlier `SlotReport` that names this block's template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSeal:
    """A seal with its messages decoded. Signatures are not checked yet."""

    seal: PouwSeal
    signed_assignment: Signed
    assignment: Assignment
    signed_report: Signed
    report: SlotReport
    signed_commitment: Signed
    commitment: SlotReport


def open_seal(data: bytes) -> OpenSeal:
    """Decode a seal and all in it. Raises InvalidBlockError(ENCODING)."""
    try:
        seal = decode(data, PouwSeal)
        signed_assignment = decode_signed(seal.assignment)
        signed_report = decode_signed(seal.report)
        signed_commitment = decode_signed(seal.commitment)
        return OpenSeal(
            seal=seal,
            signed_assignment=signed_assignment,
            assignment=decode(signed_assignment.body, Assignment),
            signed_report=signed_report,
            report=decode(signed_report.body, SlotReport),
            signed_commitment=signed_commitment,
            commitment=decode(signed_commitment.body, SlotReport),
        )
    except EncodingError as error:
        raise InvalidBlockError(Reject.ENCODING, seal=str(error)) from error


def check_signed_by(signed: Signed, signer: PublicKey | None, chain_id: Digest, what: str) -> None:
    """Raises InvalidBlockError(SIGNATURE) unless `signer` signed this message for this chain."""
    if signed.signer != signer:
        raise InvalidBlockError(Reject.SIGNATURE, of=what, expected=signer, actual=signed.signer)
    try:
        check_signature(signed, chain_id)
    except SignatureError as error:
        raise InvalidBlockError(Reject.SIGNATURE, of=what, signer=signer) from error
