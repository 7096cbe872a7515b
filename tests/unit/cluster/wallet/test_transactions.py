"""What a wallet signs is what it was asked for, for one chain only."""

import pytest

from cluster.wallet.transactions import sign_cancel_job, sign_submit_job, sign_transfer
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import open_signed
from consensus.errors import SignatureError
from consensus.primitives.integers import Credits, Digest, Sequence
from consensus.records.transactions import CancelJob, SubmitJob, Transfer

KEY = SecretKey(bytes(32))
CHAIN, OTHER = Digest(b"c" * 32), Digest(b"o" * 32)
JOB = SubmitJob(
    sequence=Sequence(4),
    name="digits",
    spec=Digest(b"s" * 32),
    dataset=Digest(b"d" * 32),
    rounds=10,
    slots=4,
    audit_ppm=50_000,
    reward=Credits(7),
)


def test_a_transfer_says_what_was_asked() -> None:
    signed = sign_transfer(KEY, CHAIN, sequence=Sequence(3), recipient=KEY.public_key, amount=Credits(5))
    expected = Transfer(sequence=Sequence(3), recipient=KEY.public_key, amount=Credits(5))
    assert open_signed(signed, Transfer, CHAIN) == expected
    assert signed.signer == KEY.public_key


def test_a_submission_says_what_was_asked() -> None:
    fields = {name: getattr(JOB, name) for name in JOB.__struct_fields__}
    assert open_signed(sign_submit_job(KEY, CHAIN, **fields), SubmitJob, CHAIN) == JOB


def test_a_cancellation_says_what_was_asked() -> None:
    signed = sign_cancel_job(KEY, CHAIN, sequence=Sequence(9), job=Digest(b"j" * 32))
    assert open_signed(signed, CancelJob, CHAIN) == CancelJob(sequence=Sequence(9), job=Digest(b"j" * 32))


def test_a_signature_is_for_one_chain() -> None:
    signed = sign_cancel_job(KEY, CHAIN, sequence=Sequence(9), job=Digest(b"j" * 32))
    with pytest.raises(SignatureError):
        open_signed(signed, CancelJob, OTHER)
