"""Fixed keys and a genesis whose difficulty costs a test nothing."""

import hashlib
from functools import cache

from msgspec.structs import replace

from consensus.crypto.keys import SecretKey
from consensus.params import ConsensusParams
from consensus.primitives.integers import Credits, PublicKey, Target, TimeMs
from consensus.records.genesis import Allocation, Genesis

GENESIS_TIME_MS = 1_700_000_000_000
EASY = Target(b"\xff" + bytes(31))
"""Nearly every hash wins; `HARD` lets none win."""
HARD = Target(bytes(31) + b"\x01")
FUNDS = 1_000_000_000

PARAMS = ConsensusParams(
    block_interval_ms=TimeMs(10_000),
    difficulty_half_life_ms=TimeMs(60_000),
    easiest_target=EASY,
    initial_target=EASY,
    block_reward=Credits(5_000),
    commit_lead=2,
    max_tries=64,
    bytes_per_batch_try=1_024,
    bytes_per_weight_try=4_096,
    max_future_ms=TimeMs(2_000),
    quiet_after_ms=TimeMs(30_000),
    max_block_bytes=1_000_000,
    max_transaction_bytes=200_000,
    min_audit_ppm=10_000,
    challenge_interval=4,
    deadline_blocks=2,
    challenge_sectors=3,
    storage_grace=1,
    seal_floor_bytes=4_096,
    seal_checks=2,
)


@cache
def secret_key(name: str) -> SecretKey:
    """The same key for the same name, always."""
    return SecretKey(hashlib.sha256(f"test key {name}".encode()).digest())


def public_key(name: str) -> PublicKey:
    """The public half of `secret_key`."""
    return secret_key(name).public_key


def supervisor_keys(count: int) -> tuple[SecretKey, ...]:
    """The committee's keys in the committee's order."""
    keys = [secret_key(f"supervisor {number}") for number in range(count)]
    return tuple(sorted(keys, key=lambda key: key.public_key))


def make_params(**changes: object) -> ConsensusParams:
    """`PARAMS` with some fields changed."""
    return replace(PARAMS, **changes)


def make_genesis(supervisors: int = 1, /, **changes: object) -> Genesis:
    """A genesis with money for `client` and `other`; field changes are those of `Genesis`."""
    genesis = Genesis(
        network="test",
        time_ms=TimeMs(GENESIS_TIME_MS),
        params=PARAMS,
        supervisors=tuple(key.public_key for key in supervisor_keys(supervisors)),
        allocations=tuple(Allocation(account=public_key(name), amount=Credits(FUNDS)) for name in ("client", "other")),
    )
    return replace(genesis, **changes)
