"""What waits for a block, and what is left of it after one."""

import pytest

from cluster.node.mempool import Mempool
from consensus.crypto.signing import Signed
from consensus.errors import InvalidTransactionError, Reject
from consensus.ledger.transition import OpenTransaction, open_transaction
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Sequence
from consensus.records.transactions import SubmitJob, Transfer
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import FUNDS, public_key


@pytest.fixture
def chain() -> TestChain:
    return start_chain()


def transfer(chain: TestChain, sequence: int, amount: int = 5, signer: str = "client") -> Signed:
    message = Transfer(sequence=Sequence(sequence), recipient=public_key("friend"), amount=Credits(amount))
    return chain.sign(signer, message)


def opened(chain: TestChain, signed: Signed) -> OpenTransaction:
    return open_transaction(signed, chain.view.context)


def add(pool: Mempool, chain: TestChain, signed: Signed) -> None:
    transaction = opened(chain, signed)
    pool.add(transaction, pool.preview(transaction))


def test_a_preview_changes_nothing(chain: TestChain) -> None:
    pool = Mempool(chain.view)
    state = pool.preview(opened(chain, transfer(chain, 0)))
    assert state.account(public_key("friend")).balance == 5
    assert pool.state == chain.view.state
    assert len(pool) == 0


def test_what_waits_counts_for_what_comes_after(chain: TestChain) -> None:
    pool = Mempool(chain.view)
    add(pool, chain, transfer(chain, 0, FUNDS))
    with pytest.raises(InvalidTransactionError) as caught:
        pool.preview(opened(chain, transfer(chain, 1)))
    assert caught.value.code is Reject.FUNDS
    assert len(pool) == 1


def test_a_block_takes_the_oldest_that_fit(chain: TestChain) -> None:
    pool = Mempool(chain.view)
    waiting = [transfer(chain, number) for number in range(4)]
    for signed in waiting:
        add(pool, chain, signed)
    size = len(encode(waiting[0])) + 8
    assert pool.select(10 * size) == tuple(encode(signed) for signed in waiting)
    assert pool.select(2 * size + size // 2) == tuple(encode(signed) for signed in waiting[:2])
    assert pool.select(0) == ()


def test_after_a_block_what_it_brought_is_gone_and_the_rest_waits(chain: TestChain) -> None:
    pool = Mempool(chain.view)
    first, second = transfer(chain, 0), transfer(chain, 1)
    add(pool, chain, first)
    add(pool, chain, second)
    chain.extend(first)
    assert pool.rebase(chain.view, [first.digest]) == []
    assert first.digest not in pool
    assert second.digest in pool
    assert pool.state.account(public_key("friend")).balance == 10


def test_what_cannot_follow_a_block_is_dropped(chain: TestChain) -> None:
    pool = Mempool(chain.view)
    late, kept = transfer(chain, 0, 6), transfer(chain, 0, 5, "other")
    add(pool, chain, late)
    add(pool, chain, kept)
    foreign = transfer(chain, 0, 7)
    chain.extend(foreign)
    dropped = pool.rebase(chain.view, [foreign.digest])
    assert [transaction.envelope for transaction in dropped] == [late]
    assert pool.all_messages() == [opened(chain, kept).message]


def test_messages_are_found_by_kind(chain: TestChain) -> None:
    pool = Mempool(chain.view)
    add(pool, chain, transfer(chain, 0))
    assert len(pool.messages(Transfer)) == 1
    assert pool.messages(SubmitJob) == []
