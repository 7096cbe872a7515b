"""A chain in memory that grows by real blocks through the real rules. Tests build a block, break it and offer it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from consensus.chain.acceptance import Candidate, assemble_template, check_block
from consensus.chain.genesis import genesis_beacon, genesis_state
from consensus.chain.view import ChainView, advance_view, open_view
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, sign
from consensus.finality.certificate import check_certificate, derive_beacon, endorse
from consensus.mechanisms.authority.seal import seal_header
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import Digest, Height, TimeMs
from consensus.records.block import Block, Certificate, Header
from consensus.records.genesis import Genesis
from consensus.records.transactions import JobId, StartJob, SubmitJob
from tests.kit.genesis import make_genesis, secret_key, supervisor_keys
from tests.kit.work import DictWorkLog, word

BLOCK_TIME_MS = 40_000
"""Longer than `quiet_after_ms`, so that a block of the committee is always due."""


@dataclass
class TestChain:
    """A chain with its keys, its tip and all its blocks. Height h is `blocks[h - 1]`."""

    __test__ = False

    genesis: Genesis
    committee: tuple[SecretKey, ...]
    work: DictWorkLog
    beacons: dict[Height, Digest]
    view: ChainView
    blocks: list[Block] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)

    @property
    def chain_id(self) -> Digest:
        return self.view.chain_id

    @property
    def supervisor(self) -> SecretKey:
        """The first member of the committee."""
        return self.committee[0]

    @property
    def next_time_ms(self) -> TimeMs:
        return TimeMs(self.view.tip_time_ms + BLOCK_TIME_MS)

    def sign(self, signer: str | SecretKey, message: Record) -> Signed:
        """A message signed for this chain; a signer may be given by name."""
        return sign(secret_key(signer) if isinstance(signer, str) else signer, self.chain_id, message)

    def template(self, transactions: Iterable[Signed], producer: SecretKey, mechanism: str) -> Header:
        """The header of a block with these transactions."""
        data = [encode(transaction) for transaction in transactions]
        return assemble_template(self.view, data, producer.public_key, mechanism, self.next_time_ms)

    def authority_block(self, *transactions: Signed, **header_changes: object) -> Block:
        """A valid block by the first supervisor; with `header_changes` it is sealed after the change."""
        header = replace(self.template(transactions, self.supervisor, "authority"), **header_changes)
        seal = seal_header(self.supervisor, self.chain_id, header)
        return Block(header=header, seal=seal, transactions=tuple(encode(item) for item in transactions))

    def check(self, block: Block) -> Candidate:
        """What the rules say of a block at its own time."""
        return check_block(encode(block), self.view, block.header.time_ms)

    def certify(self, block: Block) -> Certificate:
        """The whole committee's certificate."""
        previous = self.beacons[Height(block.header.height - 1)]
        endorsements = tuple(endorse(key, self.chain_id, block, previous) for key in self.committee)
        return Certificate(height=block.header.height, block=block.hash, round=0, endorsements=endorsements)

    def append(self, block: Block) -> Candidate:
        """Check a block, certify it and move the tip."""
        candidate = self.check(block)
        certificate = self.certify(block)
        height = block.header.height
        previous = self.beacons[Height(height - 1)]
        check_certificate(certificate, block, self.genesis.supervisors, self.chain_id, previous)
        self.beacons[height] = derive_beacon(certificate, previous)
        self.view = advance_view(self.view, block, candidate.state)
        self.blocks.append(block)
        self.certificates.append(certificate)
        return candidate

    def extend(self, *transactions: Signed) -> Candidate:
        """Append a block of the committee."""
        return self.append(self.authority_block(*transactions))

    def open_job(self, **changes: object) -> JobId:
        """Submit and start a job of `client` with `coordinator`; returns its id."""
        submitted = self.sign("client", self.submission(**changes))
        self.extend(submitted)
        start = StartJob(job=submitted.digest, coordinator=secret_key("coordinator").public_key)
        self.extend(self.sign(self.supervisor, start))
        return submitted.digest

    def submission(self, **changes: object) -> SubmitJob:
        """The next job `client` could submit: 4 rounds of 2 slots, every second slot audited."""
        message = SubmitJob(
            sequence=self.view.state.account(secret_key("client").public_key).sequence,
            name="digits",
            spec=word("spec"),
            dataset=word("dataset"),
            rounds=4,
            slots=2,
            audit_ppm=500_000,
            reward=1_003,
        )
        return replace(message, **changes)


def start_chain(supervisors: int = 1, genesis: Genesis | None = None) -> TestChain:
    """A chain before its first block."""
    genesis = make_genesis(supervisors) if genesis is None else genesis
    beacons = {Height(0): genesis_beacon(genesis.chain_id)}
    work = DictWorkLog()
    return TestChain(
        genesis=genesis,
        committee=supervisor_keys(len(genesis.supervisors)),
        work=work,
        beacons=beacons,
        view=open_view(genesis=genesis, state=genesis_state(genesis), work=work, beacon=beacons.get),
    )
