"""Which slots are audited: decided by the beacon after the round was committed, so nobody picks their own auditors."""

from consensus.primitives.digest import sha256
from consensus.primitives.integers import Digest

_PPM = 1_000_000


def is_sampled(beacon: Digest, job: Digest, round_number: int, slot: int, audit_ppm: int) -> bool:
    """Whether a slot is audited. Each slot is drawn on its own with probability `audit_ppm` / 1,000,000.

    `beacon` is that of the block that holds the round's commit. An auditor that samples each slot with probability q
    misses all of k forged slots with probability (1 - q)^k.
    """
    draw = sha256("pouw/audit/1", beacon, job, round_number.to_bytes(8, "big"), slot.to_bytes(4, "big"))
    return int.from_bytes(draw[:8], "big") * _PPM < audit_ppm << 64
