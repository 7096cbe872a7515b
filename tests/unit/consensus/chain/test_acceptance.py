"""One verdict per block: every rule with a valid block beside it that breaks nothing else."""

import pytest
from msgspec.structs import replace

from consensus.chain.acceptance import assemble_template, check_block
from consensus.errors import InvalidBlockError, Reject
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Target, TimeMs
from consensus.primitives.merkle import merkle_root
from consensus.records.block import Block
from consensus.records.transactions import Transfer
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import EASY, PARAMS, make_genesis, make_params, public_key, secret_key
from tests.kit.pouw import draft_pouw
from tests.kit.work import make_assignment, make_commit, make_report, word


def transfer(sequence: int = 0, amount: int = 1) -> Transfer:
    return Transfer(sequence=sequence, recipient=public_key("client"), amount=amount)


def one_block(chain: TestChain, **header_changes: object) -> Block:
    """A block with one transfer, signed after the change of its header."""
    return chain.authority_block(chain.sign("other", transfer()), **header_changes)


def refusal(chain: TestChain, data: bytes | Block, now_ms: int | None = None) -> Reject:
    if isinstance(data, Block):
        now_ms = data.header.time_ms if now_ms is None else now_ms
        data = encode(data)
    with pytest.raises(InvalidBlockError) as caught:
        check_block(data, chain.view, TimeMs(now_ms or 0))
    return caught.value.code


def test_accepts_a_valid_block() -> None:
    chain = start_chain()
    block = one_block(chain)
    candidate = chain.append(block)
    assert candidate.replay is None
    assert candidate.state.account(public_key("other")).sequence == 1
    assert chain.view.tip_hash == block.hash
    assert chain.view.next_height == 2


def test_grows_over_many_blocks_of_both_mechanisms() -> None:
    chain = start_chain(4)
    job = chain.open_job()
    for sequence in range(3):
        chain.append(draft_pouw(chain, job, chain.sign("other", transfer(sequence))).block())
    chain.extend(chain.sign("other", transfer(3)))
    assert [block.header.mechanism for block in chain.blocks] == ["authority"] * 2 + ["pouw"] * 3 + ["authority"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chain_id": word("another chain")}, Reject.CHAIN),
        ({"height": 2}, Reject.HEIGHT),
        ({"height": 0}, Reject.HEIGHT),
        ({"parent": word("another parent")}, Reject.PARENT),
        ({"time_ms": make_genesis().time_ms}, Reject.TIME_NOT_AFTER_PARENT),
        ({"mechanism": "coin-toss"}, Reject.MECHANISM),
        ({"mechanism": "pouw"}, Reject.STATE_ROOT),
        ({"target": Target(b"\xfe" + bytes(31))}, Reject.TARGET),
        ({"transactions_root": word("another root")}, Reject.TRANSACTIONS_ROOT),
        ({"history_root": word("another root")}, Reject.HISTORY_ROOT),
        ({"state_root": word("another root")}, Reject.STATE_ROOT),
        ({"producer": public_key("other")}, Reject.PRODUCER),
    ],
)
def test_refuses_a_header_with_a_single_fault(change: dict[str, object], code: Reject) -> None:
    chain = start_chain()
    assert refusal(chain, one_block(chain, **change)) is code


def test_refuses_a_header_from_the_future() -> None:
    chain = start_chain()
    block = one_block(chain)
    latest = block.header.time_ms - PARAMS.max_future_ms
    check_block(encode(block), chain.view, TimeMs(latest))
    assert refusal(chain, block, latest - 1) is Reject.TIME_IN_FUTURE


def test_refuses_bytes_that_are_no_block() -> None:
    chain = start_chain()
    assert refusal(chain, b"") is Reject.ENCODING
    assert refusal(chain, encode(one_block(chain)) + b"\x00") is Reject.ENCODING
    assert refusal(chain, bytes(PARAMS.max_block_bytes + 1)) is Reject.OVERSIZED


def test_refuses_transactions_other_than_the_headers() -> None:
    chain = start_chain()
    block = one_block(chain)
    assert refusal(chain, replace(block, transactions=())) is Reject.TRANSACTIONS_ROOT
    assert refusal(chain, replace(block, transactions=block.transactions * 2)) is Reject.TRANSACTIONS_ROOT


def test_refuses_a_transaction_twice() -> None:
    chain = start_chain()
    block = one_block(chain)
    twice = block.transactions * 2
    header = replace(block.header, transactions_root=merkle_root(twice))
    assert refusal(chain, replace(block, header=header, transactions=twice)) is Reject.DUPLICATE_TRANSACTION


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"junk", Reject.ENCODING),
        (encode(start_chain().sign("other", transfer(sequence=1))), Reject.SEQUENCE),
        (encode(start_chain().sign("other", make_assignment(word("job")))), Reject.ENCODING),
        (encode(replace(start_chain().sign("other", transfer()), signature=bytes(64))), Reject.SIGNATURE),
    ],
)
def test_refuses_a_block_for_a_transaction_that_breaks_a_rule(data: bytes, code: Reject) -> None:
    chain = start_chain()
    block = one_block(chain)
    header = replace(block.header, transactions_root=merkle_root([data]))
    assert refusal(chain, replace(block, header=header, transactions=(data,))) is code


def test_a_template_cannot_be_made_of_invalid_transactions() -> None:
    chain = start_chain()
    data = [encode(chain.sign("other", transfer(sequence))) for sequence in (0, 5)]
    with pytest.raises(InvalidBlockError) as caught:
        assemble_template(chain.view, data, public_key("miner"), "pouw", chain.next_time_ms)
    assert caught.value.code is Reject.SEQUENCE
    assert caught.value.detail["transaction"] == 1


def test_a_refused_block_leaves_the_view_as_it_was() -> None:
    chain = start_chain()
    before = chain.view
    assert refusal(chain, one_block(chain, state_root=word("another root"))) is Reject.STATE_ROOT
    assert chain.view == before
    chain.append(one_block(chain))


def test_the_history_root_commits_to_the_reports_of_round_commits() -> None:
    chain = start_chain()
    job = chain.open_job()
    reports = [chain.sign("miner", make_report(make_assignment(job, 0, slot))) for slot in range(2)]
    chain.extend(chain.sign("coordinator", make_commit(job, 0, reports)))
    assert chain.blocks[-1].header.history_root == merkle_root([report.digest for report in reports])


def test_the_target_does_not_move_with_a_block_without_work() -> None:
    chain = start_chain(genesis=make_genesis(params=make_params(initial_target=Target(b"\x7f" + bytes(31)))))
    job = chain.open_job()
    assert chain.view.next_target == PARAMS.initial_target.replace(b"\xff", b"\x7f")
    chain.append(draft_pouw(chain, job).block())
    assert chain.view.tip_late_ms == 40_000 - PARAMS.block_interval_ms
    eased = chain.view.next_target
    assert Target(b"\x7f" + bytes(31)) < eased < EASY
    chain.extend(chain.sign("other", transfer()))
    assert chain.view.tip_late_ms == 0
    assert chain.view.next_target == eased


def test_a_producer_that_is_no_supervisor_cannot_use_a_supervisors_seal() -> None:
    chain = start_chain()
    assert secret_key("other").public_key not in chain.genesis.supervisors
    assert refusal(chain, replace(one_block(chain), seal=bytes(64))) is Reject.SIGNATURE
