"""Final blocks by height, and everything a block changes, in one batch: block, certificate, ledger, indexes, mempool.

It keeps what was accepted and judges nothing, except that blocks follow each other without a gap. There are no forks
here: a block is appended once it is final and never leaves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consensus.crypto.signing import Signed, decode_signed
from consensus.errors import EncodingError
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Digest, Height
from consensus.records.block import Block, BlockHash, Certificate
from consensus.records.genesis import Genesis
from consensus.records.work import RoundCommit
from storage import schema
from storage.errors import GenesisMismatchError, NotNextBlockError, RecordMissingError, SchemaVersionError
from storage.kv import Batch, KeyValueStore, Reader
from storage.ledger_store import LedgerStore, stage_ledger_changes
from storage.mempool_store import stage_removal
from storage.report_store import stage_round_commit
from storage.stored_records import load_number, load_record

if TYPE_CHECKING:
    from consensus.ports import BlockStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """The last final block. Before the first block: height 0 and the chain id."""

    height: Height
    hash: BlockHash


class ChainStore:
    """The chain in one key-value store. Implements `ports.BlockStore`."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    def create(self, genesis: Genesis, ledger_entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Start a chain with the ledger of its genesis. Doing it again for the same chain changes nothing.

        Raises:
            GenesisMismatchError: the store holds another chain.
            SchemaVersionError: the store was written with another layout.
        """
        if self.is_created():
            self._check_same_chain(genesis)
            return
        with self._store.atomic_batch() as batch:
            batch.put(schema.VERSION_KEY, schema.number_bytes(schema.SCHEMA_VERSION))
            batch.put(schema.GENESIS_KEY, encode(genesis))
            _stage_tip(batch, Tip(height=Height(0), hash=genesis.chain_id))
            stage_ledger_changes(batch, ledger_entries)

    def is_created(self) -> bool:
        """Whether a chain was started here. Raises SchemaVersionError if its layout is of another version."""
        version = load_number(self._store, schema.VERSION_KEY)
        if version not in (None, schema.SCHEMA_VERSION):
            reason = (
                f"the store has layout {version}, this program {schema.SCHEMA_VERSION}: use the version it came from"
            )
            raise SchemaVersionError(reason)
        return version is not None

    def append(
        self,
        block: Block,
        certificate: Certificate,
        *,
        ledger_changes: Iterable[tuple[bytes, bytes | None]],
        beacon: Digest | None = None,
    ) -> None:
        """Add the next final block with all its consequences, all or nothing, durable when this returns.

        Included transactions leave the mempool; round commits among them are indexed. `beacon`: that of this height.

        Raises:
            NotNextBlockError: it does not follow the tip, or the certificate is for another block.
            EncodingError: a transaction is not a canonical envelope.
        """
        with self._store.atomic_batch() as batch:
            tip = Tip(height=block.header.height, hash=block.hash)
            _check_follows(_load_tip(batch), block)
            _check_certifies(certificate, tip)
            batch.put(schema.block_key(tip.height), encode(block))
            batch.put(schema.certificate_key(tip.height), encode(certificate))
            batch.put(schema.height_of_block_key(tip.hash), schema.number_bytes(tip.height))
            if beacon is not None:
                batch.put(schema.beacon_key(tip.height), beacon)
            stage_ledger_changes(batch, ledger_changes)
            _stage_transactions(batch, block)
            _stage_tip(batch, tip)

    def load_genesis(self) -> Genesis:
        """Raises RecordMissingError before `create`."""
        return load_record(self._store, schema.GENESIS_KEY, Genesis, "of this store")

    def load_tip(self) -> Tip:
        """The last final block. Raises RecordMissingError before `create`."""
        return _load_tip(self._store)

    def tip_height(self) -> Height:
        """Height of the last final block, 0 before the first."""
        return self.load_tip().height

    def load_block(self, height: Height) -> Block:
        """Raises RecordMissingError (the genesis has no block) or RecordCorruptError."""
        return load_record(self._store, schema.block_key(height), Block, f"at height {height}")

    def load_certificate(self, height: Height) -> Certificate:
        """Raises RecordMissingError (the genesis has no certificate) or RecordCorruptError."""
        return load_record(self._store, schema.certificate_key(height), Certificate, f"at height {height}")

    def load_beacon(self, height: Height) -> Digest | None:
        """The beacon stored with a block, or None."""
        beacon = self._store.get(schema.beacon_key(height))
        return None if beacon is None else Digest(beacon)

    def height_of(self, block_hash: BlockHash) -> Height | None:
        """Height of a final block by its hash."""
        return _height(load_number(self._store, schema.height_of_block_key(block_hash)))

    def height_of_transaction(self, digest: Digest) -> Height | None:
        """Height of the final block that holds a transaction, by the digest of its envelope."""
        return _height(load_number(self._store, schema.height_of_transaction_key(digest)))

    def load_ledger(self) -> tuple[Tip, list[tuple[bytes, bytes]]]:
        """The tip and the ledger after it, consistent even while another process appends blocks."""
        with self._store.snapshot() as reader:
            return _load_tip(reader), list(LedgerStore(reader).load_entries())

    def _check_same_chain(self, genesis: Genesis) -> None:
        stored = self.load_genesis()
        if stored != genesis:
            reason = (
                f"this folder holds chain {stored.chain_id.hex()}, not {genesis.chain_id.hex()}: use another folder"
            )
            raise GenesisMismatchError(reason)


def _load_tip(reader: Reader | Batch) -> Tip:
    data = reader.get(schema.TIP_KEY)
    if data is None:
        raise RecordMissingError("chain", "in this store: it has not been created")
    return Tip(height=Height(int.from_bytes(data[:-32], "big")), hash=Digest(data[-32:]))


def _stage_tip(batch: Batch, tip: Tip) -> None:
    batch.put(schema.TIP_KEY, schema.number_bytes(tip.height) + tip.hash)


def _stage_transactions(batch: Batch, block: Block) -> None:
    height = schema.number_bytes(block.header.height)
    for data in block.transactions:
        signed = decode_signed(data)
        batch.put(schema.height_of_transaction_key(signed.digest), height)
        stage_removal(batch, signed.digest)
        commit = _decode_round_commit(signed)
        if commit is not None:
            stage_round_commit(batch, commit.job, commit.round, data)


def _decode_round_commit(signed: Signed) -> RoundCommit | None:
    try:
        return decode(signed.body, RoundCommit)
    except EncodingError:  # another kind of transaction
        return None


def _check_follows(tip: Tip, block: Block) -> None:
    header = block.header
    if (header.height, header.parent) != (tip.height + 1, tip.hash):
        reason = f"block {header.height} on {header.parent.hex()} does not follow {tip.height}, {tip.hash.hex()}"
        raise NotNextBlockError(reason)


def _check_certifies(certificate: Certificate, tip: Tip) -> None:
    if (certificate.height, certificate.block) != (tip.height, tip.hash):
        reason = f"certificate of {certificate.height}, {certificate.block.hex()} for {tip.height}, {tip.hash.hex()}"
        raise NotNextBlockError(reason)


def _height(number: int | None) -> Height | None:
    return None if number is None else Height(number)


if TYPE_CHECKING:

    def _conforms(store: ChainStore) -> BlockStore:
        return store
