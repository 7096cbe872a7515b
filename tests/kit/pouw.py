"""A valid proof-of-useful-work block in parts. Replace one part and `block()` gives a block with that one fault."""

from dataclasses import dataclass

from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, sign
from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.mechanisms.pouw.seal import PouwSeal
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest
from consensus.records.block import Block, Header
from consensus.records.work import Assignment, SlotReport
from tests.kit.chain import TestChain
from tests.kit.genesis import secret_key
from tests.kit.work import make_assignment, make_report, state_word

WINNING_ROUND = 5
COMMITTED_ROUND = 3


@dataclass(frozen=True, kw_only=True)
class PouwDraft:
    """All that goes into a pouw block, unsigned."""

    chain: TestChain
    header: Header
    transactions: tuple[bytes, ...]
    assignment: Assignment
    report: SlotReport
    commitment: SlotReport
    step: int
    attempt: int
    coordinator: SecretKey
    miner: SecretKey
    committer: SecretKey

    def sign(self, signer: SecretKey, message: Assignment | SlotReport) -> Signed:
        return sign(signer, self.chain.chain_id, message)

    def seal(self) -> PouwSeal:
        """The seal, everything in it signed."""
        return PouwSeal(
            assignment=encode(self.sign(self.coordinator, self.assignment)),
            report=encode(self.sign(self.miner, self.report)),
            step=self.step,
            attempt=self.attempt,
            commitment=encode(self.sign(self.committer, self.commitment)),
        )

    def block(self) -> Block:
        return Block(header=self.header, seal=encode(self.seal()), transactions=self.transactions)

    def commit(self) -> "PouwDraft":
        """Note the commitment as committed by its round, as the coordinator would."""
        report, signed = self.commitment, self.sign(self.committer, self.commitment)
        self.chain.work.reports[report.job, report.round, report.miner] = signed.digest
        return self


def draft_pouw(
    chain: TestChain, job: Digest, *transactions: Signed, miner: str = "miner", round_number: int = WINNING_ROUND
) -> PouwDraft:
    """A valid block by `miner`: committed `commit_lead` rounds before the round whose slot wins."""
    key = secret_key(miner)
    header = chain.template(transactions, key, "pouw")
    committed_round = round_number - chain.genesis.params.commit_lead
    earlier = make_assignment(job, committed_round, miner=key.public_key)
    assignment = make_assignment(job, round_number, miner=key.public_key)
    chain.work.states[job, round_number] = state_word(job, round_number)
    report, step, attempt = _winning_report(chain, assignment, header)
    return PouwDraft(
        chain=chain,
        header=header,
        transactions=tuple(encode(transaction) for transaction in transactions),
        assignment=assignment,
        report=report,
        commitment=make_report(earlier, template=header.template_hash),
        step=step,
        attempt=attempt,
        coordinator=secret_key("coordinator"),
        miner=key,
        committer=key,
    ).commit()


def _winning_report(chain: TestChain, assignment: Assignment, header: Header) -> tuple[SlotReport, int, int]:
    """Vary made-up work until one of its nonces wins; after enough of it, take a losing one."""
    header_bytes = encode(header)
    report = make_report(assignment)
    for salt in range(20):
        report = make_report(assignment, salt=str(salt))
        for step in report.steps:
            for attempt in range(tries(chain.genesis.params, step)):
                if is_below_target(proof_of_work_hash(header_bytes, nonce(step.digest, attempt)), header.target):
                    return report, step.step, attempt
    return report, 0, 0
