"""The ledger through the life of a deal: each transaction and the state root after it, then every entry."""

from collections.abc import Iterator

from consensus.ledger.state import state_root
from consensus.primitives.encoding import Record, encode
from consensus.records.storage import CloseDeal, DealId, DropPiece, LeavePiece, Pulse, ReportService, Unstake
from tests.kit.deals import (
    PROVIDERS,
    assignment,
    commitment,
    deal_of,
    judgement,
    proof,
    reach_challenge,
    settlement,
    start_deal,
)
from tests.kit.ledger import TestLedger

Saying = tuple[str, Record]


def deal_vectors() -> object:
    """Assign, seal, judge, prove, settle, fail, leave, replace, report, drop, close."""
    ledger, deal = start_deal()
    start = {key.hex(): value.hex() for key, value in ledger.state.entries()}
    steps = []
    for signer, message in _life(ledger, deal):
        transaction = encode(ledger.apply(signer, message)).hex()
        root = state_root(ledger.state).hex()
        steps.append({"height": ledger.context.height, "transaction": transaction, "root": root})
    return {
        "deal": deal.hex(),
        "start": start,
        "steps": steps,
        "entries": {key.hex(): value.hex() for key, value in ledger.state.entries()},
    }


def _life(ledger: TestLedger, deal: DealId) -> Iterator[Saying]:
    """Each message is made from the ledger that those before it have led to."""
    for number, name in enumerate(PROVIDERS[:3]):
        yield from _sealing(ledger, deal, number, name)
        yield "supervisor", judgement(ledger, deal, number, accepted=number < 2)
    yield "supervisor", Pulse(height=ledger.context.height)
    for provers in (PROVIDERS[:2], PROVIDERS[:1], PROVIDERS[:1]):
        height = reach_challenge(ledger, deal)
        for number, name in enumerate(provers):
            yield name, proof(ledger, deal, number, name)
        ledger.move_to(height + ledger.context.params.deadline_blocks + 1)
        yield "supervisor", settlement(ledger, deal)
    yield "north", LeavePiece(deal=deal, piece=0, term=0)
    yield from _sealing(ledger, deal, 0, "west")
    yield "supervisor", judgement(ledger, deal, 0)
    height = deal_of(ledger, deal).challenge_height or 0
    yield "supervisor", ReportService(deal=deal, piece=0, term=1, height=height, reason="no answer")
    yield "supervisor", assignment(ledger, deal, 1, "north")
    yield "supervisor", DropPiece(deal=deal, piece=1, term=1)
    yield "north", Unstake(sequence=2, amount=1)
    yield "client", CloseDeal(sequence=1, deal=deal)


def _sealing(ledger: TestLedger, deal: DealId, number: int, name: str) -> Iterator[Saying]:
    yield "supervisor", assignment(ledger, deal, number, name)
    yield name, commitment(ledger, deal, number, name)
