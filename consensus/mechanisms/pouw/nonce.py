"""From a training step to the hashes it may try. The producer searches with these functions, the mechanism checks.

A nonce follows from the step's record, which a replay must reproduce to the bit: there is nothing in it to vary.
"""

import hashlib

from consensus.params import ConsensusParams
from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest, Target
from consensus.records.work import StepRecord


def tries(params: ConsensusParams, step: StepRecord) -> int:
    """How many nonces a step gives: more for more bytes of work, at least 1, at most `max_tries`."""
    earned = step.batch_bytes // params.bytes_per_batch_try + step.weight_bytes // params.bytes_per_weight_try
    return max(1, min(params.max_tries, earned))


def nonce(step_digest: Digest, attempt: int) -> Digest:
    """Nonce number `attempt` of the step whose `StepRecord.digest` is given."""
    return sha256("pouw/nonce/1", step_digest, attempt.to_bytes(4, "big"))


def proof_of_work_hash(header_bytes: bytes, nonce_bytes: Digest) -> Digest:
    """Double SHA-256 over an encoded header and a nonce."""
    return Digest(hashlib.sha256(hashlib.sha256(header_bytes + nonce_bytes).digest()).digest())


def is_below_target(work_hash: Digest, target: Target) -> bool:
    """Whether a hash wins. Both are big-endian numbers of 32 bytes, so bytes compare as numbers do."""
    return work_hash < target
