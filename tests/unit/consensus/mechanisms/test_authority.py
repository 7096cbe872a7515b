"""When the committee may append a block on its signature."""

import pytest
from msgspec.structs import replace

from consensus.errors import InvalidBlockError, Reject
from consensus.mechanisms.authority.seal import seal_header
from consensus.records.block import Block
from consensus.records.transactions import CloseJob, StartJob, Transfer
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import PARAMS, public_key
from tests.kit.work import word


def refusal(chain: TestChain, block: Block) -> Reject:
    with pytest.raises(InvalidBlockError) as caught:
        chain.check(block)
    return caught.value.code


def block_after(chain: TestChain, quiet_ms: int, *messages: object) -> Block:
    signed = [chain.sign("other" if isinstance(item, Transfer) else chain.supervisor, item) for item in messages]
    return chain.authority_block(*signed, time_ms=chain.view.tip_time_ms + quiet_ms)


TRANSFER = Transfer(sequence=0, recipient=public_key("client"), amount=1)


def test_may_come_at_once_while_no_work_is_open() -> None:
    chain = start_chain()
    assert chain.check(block_after(chain, 1, TRANSFER)).replay is None


def test_may_open_the_first_work_at_once() -> None:
    chain = start_chain()
    submitted = chain.sign("client", chain.submission())
    chain.extend(submitted)
    start = StartJob(job=submitted.digest, coordinator=public_key("coordinator"))
    chain.append(block_after(chain, 1, start))


def test_may_end_the_last_work_at_once() -> None:
    chain = start_chain()
    job = chain.open_job()
    chain.append(block_after(chain, 1, CloseJob(job=job, outcome="failed")))


def test_waits_for_quiet_while_work_is_open() -> None:
    chain = start_chain()
    chain.open_job()
    assert refusal(chain, block_after(chain, PARAMS.quiet_after_ms, TRANSFER)) is Reject.AUTHORITY_NOT_DUE
    chain.append(block_after(chain, PARAMS.quiet_after_ms + 1, TRANSFER))


def test_earns_nothing() -> None:
    chain = start_chain()
    state = chain.extend(chain.sign("other", TRANSFER)).state
    assert state.totals.issued == chain.genesis.allocations[0].amount * 2


def test_refuses_a_block_without_transactions() -> None:
    chain = start_chain()
    assert refusal(chain, chain.authority_block()) is Reject.EMPTY_BLOCK


def test_refuses_a_producer_outside_the_committee() -> None:
    chain = start_chain()
    signed = chain.sign("other", TRANSFER)
    assert refusal(chain, chain.authority_block(signed, producer=public_key("miner"))) is Reject.PRODUCER


@pytest.mark.parametrize("seal", [b"", bytes(63), bytes(64), bytes(65)])
def test_refuses_a_seal_that_is_no_signature(seal: bytes) -> None:
    chain = start_chain()
    block = chain.authority_block(chain.sign("other", TRANSFER))
    assert refusal(chain, replace(block, seal=seal)) is Reject.SIGNATURE


def test_refuses_the_seal_of_another_header_chain_or_member() -> None:
    chain = start_chain(4)
    block = chain.authority_block(chain.sign("other", TRANSFER))
    header = block.header
    seals = [
        seal_header(chain.supervisor, chain.chain_id, replace(header, time_ms=header.time_ms + 1)),
        seal_header(chain.supervisor, word("another chain"), header),
        seal_header(chain.committee[1], chain.chain_id, header),
    ]
    assert [refusal(chain, replace(block, seal=seal)) for seal in seals] == [Reject.SIGNATURE] * 3
