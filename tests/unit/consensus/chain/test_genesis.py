"""What a chain starts from."""

import pytest
from msgspec.structs import replace

from consensus.chain.genesis import check_genesis, genesis_beacon, genesis_state, job_beacon
from consensus.errors import GenesisError
from consensus.primitives.integers import MAX_UINT63
from consensus.records.genesis import Allocation, Genesis
from tests.kit.genesis import EASY, FUNDS, HARD, make_genesis, make_params, public_key
from tests.kit.ledger import held
from tests.kit.work import word

SUPERVISORS = make_genesis(4).supervisors


def test_starts_with_the_allocations() -> None:
    state = genesis_state(make_genesis())
    assert state.account(public_key("client")).balance == FUNDS
    assert state.totals.issued == 2 * FUNDS == held(state)


def test_the_chain_id_names_every_field() -> None:
    genesis = make_genesis()
    others = [
        replace(genesis, network="other"),
        replace(genesis, time_ms=1),
        replace(genesis, params=make_params(commit_lead=9)),
        replace(genesis, start_beacon=word("fixed")),
    ]
    assert len({other.chain_id for other in [genesis, *others]}) == 5


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (make_genesis(0), "at least one supervisor"),
        (make_genesis(4, supervisors=SUPERVISORS[::-1]), "sorted"),
        (make_genesis(4, supervisors=(*SUPERVISORS, SUPERVISORS[-1])), "sorted"),
        (make_genesis(allocations=(Allocation(account=SUPERVISORS[0], amount=1),) * 2), "two allocations"),
        (
            make_genesis(allocations=tuple(Allocation(account=key, amount=MAX_UINT63) for key in SUPERVISORS[:2])),
            "sum to more",
        ),
        (make_genesis(params=make_params(initial_target=bytes(32))), "targets"),
        (make_genesis(params=make_params(initial_target=EASY, easiest_target=HARD)), "targets"),
        (make_genesis(params=make_params(difficulty_half_life_ms=0)), "difficulty_half_life_ms"),
        (make_genesis(params=make_params(max_tries=0)), "max_tries"),
        (make_genesis(params=make_params(bytes_per_batch_try=0)), "bytes_per_batch_try"),
        (make_genesis(params=make_params(bytes_per_weight_try=0)), "bytes_per_weight_try"),
        (make_genesis(params=make_params(max_transaction_bytes=1_000_001)), "max_transaction_bytes"),
        (make_genesis(params=make_params(challenge_interval=0)), "challenge_interval"),
        (make_genesis(params=make_params(deadline_blocks=0)), "deadline_blocks"),
        (make_genesis(params=make_params(challenge_sectors=0)), "challenge_sectors"),
        (make_genesis(params=make_params(seal_checks=0)), "seal_checks"),
        (make_genesis(params=make_params(challenge_sectors=49)), "a proof of challenge_sectors"),
    ],
)
def test_refuses_a_genesis_that_contradicts_itself(broken: Genesis, reason: str) -> None:
    with pytest.raises(GenesisError, match=reason):
        check_genesis(broken)
    with pytest.raises(GenesisError, match=reason):
        genesis_state(broken)


def test_jobs_start_from_the_beacon_of_their_block() -> None:
    assert job_beacon(make_genesis(), word("block")) == word("block")


def test_jobs_start_from_the_fixed_beacon_where_there_is_one() -> None:
    assert job_beacon(make_genesis(start_beacon=word("fixed")), word("block")) == word("fixed")


def test_the_first_beacon_follows_from_the_chain_id() -> None:
    assert genesis_beacon(word("chain")) != genesis_beacon(word("other chain"))
