"""Blocks to be stored, with real signatures. Storage judges nothing, so seals and endorsements are left out."""

from collections.abc import Iterable

from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import Signed, sign
from consensus.primitives.encoding import Record, encode
from consensus.primitives.integers import ZERO_DIGEST, Credits, Height, Sequence, TimeMs
from consensus.primitives.merkle import merkle_root
from consensus.records.block import Block, Certificate, Header
from consensus.records.transactions import Transfer
from storage.chain_store import ChainStore, Tip
from tests.kit.genesis import EASY, make_genesis, public_key, secret_key

GENESIS = make_genesis()


def signed(message: Record, signer: SecretKey | None = None) -> Signed:
    """A message signed for the chain of `GENESIS`, by the client if nobody else is named."""
    return sign(signer or secret_key("client"), GENESIS.chain_id, message)


def transfer(number: int) -> Signed:
    """A transfer that differs from every other by its number."""
    return signed(Transfer(sequence=Sequence(number), recipient=public_key("other"), amount=Credits(1)))


def block_on(tip: Tip, transactions: Iterable[Signed] = ()) -> Block:
    """The next block after `tip`."""
    envelopes = tuple(encode(transaction) for transaction in transactions)
    header = Header(
        chain_id=GENESIS.chain_id,
        height=Height(tip.height + 1),
        parent=tip.hash,
        time_ms=TimeMs(GENESIS.time_ms + tip.height),
        mechanism="authority",
        producer=public_key("supervisor 0"),
        target=EASY,
        transactions_root=merkle_root(envelopes),
        history_root=merkle_root(()),
        state_root=ZERO_DIGEST,
    )
    return Block(header=header, seal=b"seal", transactions=envelopes)


def certificate_of(block: Block) -> Certificate:
    """A certificate that names the block."""
    return Certificate(height=block.header.height, block=block.hash, round=0, endorsements=())


def append_block(
    chain: ChainStore,
    transactions: Iterable[Signed] = (),
    changes: Iterable[tuple[bytes, bytes | None]] = (),
) -> Block:
    """Append the next block and return it."""
    block = block_on(chain.load_tip(), transactions)
    chain.append(block, certificate_of(block), ledger_changes=changes)
    return block
