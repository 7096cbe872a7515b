"""What a job file says about keeping the weights, as the terms that its transaction pays for."""

from consensus.primitives.integers import UNITS_PER_CREDIT, Credits
from consensus.records.storage import StorageTerms
from jobs.spec.job import ErasureSpec, JobSpec


def storage_terms(spec: JobSpec) -> StorageTerms | None:
    """The terms, or None if the job asks for none. What does not divide evenly is not offered."""
    keeping = spec.storage
    if keeping is None:
        return None
    if isinstance(keeping, ErasureSpec):
        data_pieces, total_pieces = keeping.data, keeping.data + keeping.parity
    else:
        data_pieces, total_pieces = 1, keeping.replicas
    return StorageTerms(
        data_pieces=data_pieces,
        total_pieces=total_pieces,
        price=Credits(keeping.reward * UNITS_PER_CREDIT // (total_pieces * keeping.proofs)),
        collateral=Credits(keeping.collateral * UNITS_PER_CREDIT),
        proofs=keeping.proofs,
    )
