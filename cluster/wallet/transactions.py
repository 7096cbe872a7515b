"""What a wallet can ask of the ledger, signed. Pure: sequence numbers and the chain id come from the caller."""

from consensus.crypto.keys import Signer
from consensus.crypto.signing import Signed, sign
from consensus.primitives.integers import Credits, Digest, Ppm, PublicKey, Sequence, Uint32, Uint63
from consensus.records.storage import CloseDeal, OpenDeal, PieceRoot, Stake, StorageTerms, Unstake
from consensus.records.transactions import CancelJob, SubmitJob, Transfer


def sign_transfer(
    signer: Signer, chain_id: Digest, *, sequence: Sequence, recipient: PublicKey, amount: Credits
) -> Signed:
    """Move `amount` from the signer to `recipient`."""
    return sign(signer, chain_id, Transfer(sequence=sequence, recipient=recipient, amount=amount))


def sign_submit_job(
    signer: Signer,
    chain_id: Digest,
    *,
    sequence: Sequence,
    name: str,
    spec: Digest,
    dataset: Digest,
    rounds: Uint63,
    slots: Uint32,
    audit_ppm: Ppm,
    reward: Credits,
    storage: StorageTerms | None = None,
) -> Signed:
    """Pay `reward` for a job, and what `storage` costs. The digest of what is returned is the job's id."""
    job = SubmitJob(
        sequence=sequence,
        name=name,
        spec=spec,
        dataset=dataset,
        rounds=rounds,
        slots=slots,
        audit_ppm=audit_ppm,
        reward=reward,
        storage=storage,
    )
    return sign(signer, chain_id, job)


def sign_cancel_job(signer: Signer, chain_id: Digest, *, sequence: Sequence, job: Digest) -> Signed:
    """Stop a job that the signer has paid for."""
    return sign(signer, chain_id, CancelJob(sequence=sequence, job=job))


def sign_stake(signer: Signer, chain_id: Digest, *, sequence: Sequence, amount: Credits) -> Signed:
    """Move `amount` from the signer's balance to its stake."""
    return sign(signer, chain_id, Stake(sequence=sequence, amount=amount))


def sign_unstake(signer: Signer, chain_id: Digest, *, sequence: Sequence, amount: Credits) -> Signed:
    """Move `amount` from the free part of the signer's stake to its balance."""
    return sign(signer, chain_id, Unstake(sequence=sequence, amount=amount))


def sign_open_deal(
    signer: Signer,
    chain_id: Digest,
    *,
    sequence: Sequence,
    artifact: PieceRoot,
    binding: Digest,
    terms: StorageTerms,
    pieces: tuple[PieceRoot, ...],
    job: Digest | None = None,
) -> Signed:
    """Pay for keeping an artifact in `pieces` on these terms. The digest of what is returned is the deal's id."""
    deal = OpenDeal(
        sequence=sequence,
        root=artifact.root,
        size=artifact.size,
        binding=binding,
        data_pieces=terms.data_pieces,
        pieces=pieces,
        price=terms.price,
        collateral=terms.collateral,
        proofs=terms.proofs,
        job=job,
    )
    return sign(signer, chain_id, deal)


def sign_close_deal(signer: Signer, chain_id: Digest, *, sequence: Sequence, deal: Digest) -> Signed:
    """End a deal that the signer pays for."""
    return sign(signer, chain_id, CloseDeal(sequence=sequence, deal=deal))
