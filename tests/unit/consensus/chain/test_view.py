"""A view resumed from stored blocks is the view that grew with them."""

from consensus.chain.view import open_view
from consensus.records.transactions import Transfer
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import public_key
from tests.kit.pouw import draft_pouw


def resumed(chain: TestChain, parent_height: int | None) -> object:
    parent = None if parent_height is None else chain.blocks[parent_height - 1].header
    return open_view(
        genesis=chain.genesis,
        state=chain.view.state,
        work=chain.work,
        beacon=chain.view.beacon,
        tip=chain.blocks[-1] if chain.blocks else None,
        parent=parent,
    )


def test_starts_at_genesis() -> None:
    chain = start_chain()
    assert resumed(chain, None) == chain.view
    assert (chain.view.next_height, chain.view.tip_hash) == (1, chain.genesis.chain_id)
    assert chain.view.tip_time_ms == chain.genesis.time_ms


def test_resumes_at_the_first_block() -> None:
    chain = start_chain()
    chain.extend(chain.sign("other", Transfer(sequence=0, recipient=public_key("client"), amount=1)))
    assert resumed(chain, None) == chain.view


def test_resumes_at_a_mined_block_with_its_lateness() -> None:
    chain = start_chain()
    chain.append(draft_pouw(chain, chain.open_job()).block())
    assert resumed(chain, 2) == chain.view
    assert chain.view.tip_late_ms == 40_000 - chain.genesis.params.block_interval_ms
