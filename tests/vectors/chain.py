"""A small chain from genesis to a settled job: blocks, certificates, beacons and state roots."""

from consensus.ledger.rounds import draw_audits
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Height
from consensus.records.transactions import CloseJob, JobId, SettleRounds, Transfer
from tests.kit.chain import TestChain, start_chain
from tests.kit.genesis import public_key
from tests.kit.pouw import draft_pouw
from tests.kit.work import make_assignment, make_commit, make_report


def chain_vectors() -> object:
    """Every block of the chain in full."""
    chain = build_chain()
    return {
        "genesis": encode(chain.genesis).hex(),
        "chain_id": chain.chain_id.hex(),
        "blocks": [
            {
                "block": encode(block).hex(),
                "hash": block.hash.hex(),
                "template": block.header.template_hash.hex(),
                "state_root": block.header.state_root.hex(),
                "certificate": encode(certificate).hex(),
                "beacon": chain.beacons[block.header.height].hex(),
            }
            for block, certificate in zip(chain.blocks, chain.certificates, strict=True)
        ],
        "entries": {key.hex(): value.hex() for key, value in chain.view.state.entries()},
    }


def build_chain() -> TestChain:
    """Submit, start, mine, commit two rounds, settle, close."""
    chain = start_chain(4)
    job = chain.open_job(rounds=2)
    transfer = Transfer(sequence=0, recipient=public_key("miner"), amount=12)
    chain.append(draft_pouw(chain, job, chain.sign("other", transfer)).block())
    _commit_round(chain, job, 0, final=False)
    _commit_round(chain, job, 1, final=True)
    chain.extend(chain.sign(chain.supervisor, _settlement(chain, job)))
    chain.extend(chain.sign(chain.supervisor, CloseJob(job=job, outcome="completed", reason="rounds done")))
    return chain


def _commit_round(chain: TestChain, job: JobId, number: int, *, final: bool) -> None:
    reports = [chain.sign("miner", make_report(make_assignment(job, number, slot))) for slot in range(2)]
    chain.extend(chain.sign("coordinator", make_commit(job, number, reports, final=final)))


def _settlement(chain: TestChain, job: JobId) -> SettleRounds:
    rounds = list(chain.view.state.pending_rounds(job))
    assert chain.view.beacon(Height(rounds[-1].height)) is not None
    audited = draw_audits(job, chain.view.state.jobs[job].audit_ppm, rounds, chain.view.context)
    return SettleRounds(job=job, upto=2, audited=audited)
