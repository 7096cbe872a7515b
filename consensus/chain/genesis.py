"""What a chain starts from. Block 0 is implied: the chain id stands for its hash, the genesis record for the rest."""

from typing import Final

from consensus.errors import GenesisError
from consensus.ledger.entries import Account
from consensus.ledger.state import LedgerState
from consensus.params import ConsensusParams
from consensus.primitives.digest import sha256
from consensus.primitives.integers import MAX_UINT63, Digest
from consensus.records.genesis import Genesis

_PROOF_BYTES_PER_SECTOR: Final = 4096
"""More than a sector and its path in the largest replica take."""


def check_genesis(genesis: Genesis) -> None:
    """Raises GenesisError unless the record makes sense."""
    if not genesis.supervisors:
        raise GenesisError("a chain needs at least one supervisor")
    if list(genesis.supervisors) != sorted(set(genesis.supervisors)):
        raise GenesisError("supervisors must be sorted and different from each other")
    accounts = [allocation.account for allocation in genesis.allocations]
    if len(set(accounts)) != len(accounts):
        raise GenesisError("an account has two allocations")
    if sum(allocation.amount for allocation in genesis.allocations) > MAX_UINT63:
        raise GenesisError(f"allocations sum to more than {MAX_UINT63}")
    _check_params(genesis.params)


def genesis_state(genesis: Genesis) -> LedgerState:
    """The ledger before the first block. Raises GenesisError."""
    check_genesis(genesis)
    state = LedgerState().with_totals(issued=sum(allocation.amount for allocation in genesis.allocations))
    for allocation in genesis.allocations:
        state = state.with_account(allocation.account, Account(balance=allocation.amount))
    return state.sealed()


def genesis_beacon(chain_id: Digest) -> Digest:
    """The beacon of height 0."""
    return sha256("pouw/beacon/1", chain_id)


def job_beacon(genesis: Genesis, start_block_beacon: Digest) -> Digest:
    """What seeds a job that was started in a block with this beacon: the fixed beacon, where genesis has one."""
    return start_block_beacon if genesis.start_beacon is None else genesis.start_beacon


def _check_params(params: ConsensusParams) -> None:
    if not bytes(32) < params.initial_target <= params.easiest_target:
        raise GenesisError("targets must be in order: 0 < initial_target <= easiest_target")
    divisors = {
        "difficulty_half_life_ms": params.difficulty_half_life_ms,
        "max_tries": params.max_tries,
        "bytes_per_batch_try": params.bytes_per_batch_try,
        "bytes_per_weight_try": params.bytes_per_weight_try,
    }
    counts = {
        "challenge_interval": params.challenge_interval,
        "deadline_blocks": params.deadline_blocks,
        "challenge_sectors": params.challenge_sectors,
        "seal_checks": params.seal_checks,
    }
    for name, value in (divisors | counts).items():
        if value == 0:
            raise GenesisError(f"{name} must not be 0")
    if params.max_transaction_bytes > params.max_block_bytes:
        raise GenesisError("max_transaction_bytes is over max_block_bytes")
    if params.challenge_sectors * _PROOF_BYTES_PER_SECTOR > params.max_transaction_bytes:
        raise GenesisError("a proof of challenge_sectors sectors is over max_transaction_bytes")
