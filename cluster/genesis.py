"""The chain a new site starts: its parameters, from the site's settings, and its first balances."""

from typing import Final

from cluster.credits import parse_credits
from cluster.settings import SiteSettings
from consensus.chain.genesis import check_genesis
from consensus.params import ConsensusParams
from consensus.primitives.integers import UNITS_PER_CREDIT, Credits, Digest, PublicKey, Target, TimeMs
from consensus.records.genesis import Allocation, Genesis

_TRIES: Final = 4
_SLOTS_PER_BLOCK: Final = 50
_USUAL_LOCAL_STEPS: Final = 8
_EASIEST: Final = Target((2**256 // (_TRIES * _SLOTS_PER_BLOCK * _USUAL_LOCAL_STEPS)).to_bytes(32, "big"))
"""A slot of eight steps with all its tries wins one time in fifty, so that accepting blocks by replay costs at most two
per cent of the training they stand for, however long a slot takes (docs/adr/0004-difficulty.md)."""
_HALF_LIVES: Final = 6


def site_params(settings: SiteSettings) -> ConsensusParams:
    """The parameters of a site's chain."""
    interval_ms = max(1, round(settings.block_interval_s * 1000))
    return ConsensusParams(
        block_interval_ms=TimeMs(interval_ms),
        difficulty_half_life_ms=TimeMs(_HALF_LIVES * interval_ms),
        easiest_target=_EASIEST,
        initial_target=_EASIEST,
        block_reward=Credits(UNITS_PER_CREDIT),
        commit_lead=3,
        max_tries=_TRIES,
        bytes_per_batch_try=4 * 1024,
        bytes_per_weight_try=32 * 1024,
        max_future_ms=TimeMs(10_000),
        quiet_after_ms=TimeMs(interval_ms),
        max_block_bytes=8 * 1024 * 1024,
        max_transaction_bytes=1024 * 1024,
        min_audit_ppm=10_000,
        challenge_interval=settings.challenge_interval,
        deadline_blocks=3,
        challenge_sectors=16,
        storage_grace=2,
        seal_floor_bytes=settings.seal_floor_mb * 1024 * 1024,
        seal_checks=8,
    )


def site_genesis(settings: SiteSettings, supervisor: PublicKey, client: PublicKey, now_ms: TimeMs) -> Genesis:
    """A new chain with one supervisor and the operator's account. Raises GenesisError."""
    genesis = Genesis(
        network=settings.network,
        time_ms=now_ms,
        params=site_params(settings),
        supervisors=(supervisor,),
        allocations=(
            Allocation(account=client, amount=parse_credits(settings.client_credits)),
            Allocation(account=supervisor, amount=parse_credits(settings.provider_credits)),
        ),
        start_beacon=None if settings.beacon is None else Digest(bytes.fromhex(settings.beacon)),
    )
    check_genesis(genesis)
    return genesis
