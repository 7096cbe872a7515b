"""What is said in a job file or on the command line about keeping something, as the terms that are paid for."""

from consensus.primitives.integers import UNITS_PER_CREDIT, Credits
from consensus.records.storage import StorageTerms
from jobs.spec.job import ErasureSpec, JobSpec, ReplicasSpec


def storage_terms(spec: JobSpec) -> StorageTerms | None:
    """The terms, or None if the job asks for none."""
    return None if spec.storage is None else keeping_terms(spec.storage, spec.storage.reward * UNITS_PER_CREDIT)


def keeping_terms(keeping: ReplicasSpec | ErasureSpec, reward: int) -> StorageTerms:
    """The terms for `reward` units in all. What does not divide evenly is not offered."""
    if isinstance(keeping, ErasureSpec):
        data_pieces, total_pieces = keeping.data, keeping.data + keeping.parity
    else:
        data_pieces, total_pieces = 1, keeping.replicas
    return StorageTerms(
        data_pieces=data_pieces,
        total_pieces=total_pieces,
        price=Credits(reward // (total_pieces * keeping.proofs)),
        collateral=Credits(keeping.collateral * UNITS_PER_CREDIT),
        proofs=keeping.proofs,
    )
