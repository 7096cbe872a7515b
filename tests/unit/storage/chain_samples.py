"""A small chain with real signatures, for tests of what is stored. Storage judges nothing, so seals are empty."""

from collections.abc import Sequence

from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, sign
from consensus.params import ConsensusParams
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import ZERO_DIGEST, Credits, Digest, Height, Sequence as Number, Target, TimeMs
from consensus.primitives.merkle import merkle_root
from consensus.records.block import Block, Certificate, Header
from consensus.records.genesis import Allocation, Genesis
from consensus.records.transactions import Transfer
from consensus.records.work import RoundCommit, SlotCommit, SlotReport
from storage.chain_store import ChainStore, Tip

ALICE = SecretKey(b"\x01" * 32)
BOB = SecretKey(b"\x02" * 32)

PARAMS = ConsensusParams(
    block_interval_ms=TimeMs(1000),
    difficulty_half_life_ms=TimeMs(8000),
    easiest_target=Target(b"\xff" * 32),
    initial_target=Target(b"\x0f" * 32),
    block_reward=Credits(5_000_000),
    commit_lead=2,
    max_tries=64,
    bytes_per_batch_try=4096,
    bytes_per_weight_try=65536,
    max_future_ms=TimeMs(1000),
    quiet_after_ms=TimeMs(5000),
    max_block_bytes=1_000_000,
    max_transaction_bytes=100_000,
    min_audit_ppm=10_000,
)

GENESIS = Genesis(
    network="storage-tests",
    time_ms=TimeMs(1_700_000_000_000),
    params=PARAMS,
    supervisors=(ALICE.public_key,),
    allocations=(Allocation(account=ALICE.public_key, amount=Credits(1_000_000)),),
)


def signed(message: Record, signer: SecretKey = ALICE) -> Signed:
    return sign(signer, GENESIS.chain_id, message)


def transfer(number: int) -> Signed:
    """A transfer that differs from every other by its number."""
    return signed(Transfer(sequence=Number(number), recipient=BOB.public_key, amount=Credits(1)))


def report(number: int) -> Signed:
    message = SlotReport(
        job=ZERO_DIGEST,
        round=number,
        slot=0,
        attempt=0,
        miner=BOB.public_key,
        replay_class=ZERO_DIGEST,
        assignment=ZERO_DIGEST,
        steps=(),
        update=sha256("test/update", bytes([number])),
        examples=1,
    )
    return signed(message, BOB)


def round_commit(job: Digest, number: int, state_out: bytes) -> Signed:
    message = RoundCommit(
        job=job,
        round=number,
        state_in=ZERO_DIGEST,
        state_out=sha256("test/state", state_out),
        optimizer_out=None,
        slots=(SlotCommit(miner=BOB.public_key, report=ZERO_DIGEST),),
        loss_bits=0,
    )
    return signed(message)


def block_on(tip: Tip, transactions: Sequence[Signed] = ()) -> Block:
    """The next block after `tip`."""
    envelopes = tuple(encode(transaction) for transaction in transactions)
    header = Header(
        chain_id=GENESIS.chain_id,
        height=Height(tip.height + 1),
        parent=tip.hash,
        time_ms=TimeMs(GENESIS.time_ms + tip.height),
        mechanism="authority",
        producer=ALICE.public_key,
        target=PARAMS.initial_target,
        transactions_root=merkle_root(envelopes),
        history_root=merkle_root(()),
        state_root=ZERO_DIGEST,
    )
    return Block(header=header, seal=b"seal", transactions=envelopes)


def certificate_of(block: Block) -> Certificate:
    return Certificate(height=block.header.height, block=block.hash, round=0, endorsements=())


def append_block(
    chain: ChainStore, transactions: Sequence[Signed] = (), changes: Sequence[tuple[bytes, bytes | None]] = ()
) -> Block:
    block = block_on(chain.load_tip(), transactions)
    chain.append(block, certificate_of(block), ledger_changes=changes)
    return block
