import pytest
from msgspec.structs import replace

from consensus.errors import EncodingError
from consensus.ledger.state import LedgerState, state_root
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Height
from storage import schema
from storage.chain_store import ChainStore, Tip
from storage.errors import (
    GenesisMismatchError,
    NotNextBlockError,
    RecordCorruptError,
    RecordMissingError,
    SchemaVersionError,
)
from storage.kv import KeyValueStore
from storage.ledger_store import LedgerStore
from storage.mempool_store import MempoolStore
from storage.report_store import ReportStore
from tests.kit.chain import start_chain
from tests.kit.genesis import make_genesis
from tests.kit.stored_chain import GENESIS, append_block, block_on, certificate_of, signed, transfer
from tests.kit.work import make_commit, word

JOB = word("job")


def test_new_chain_starts_at_genesis(chain: ChainStore) -> None:
    assert chain.load_genesis() == GENESIS
    assert chain.load_tip() == Tip(height=Height(0), hash=GENESIS.chain_id)
    assert chain.tip_height() == 0
    assert chain.load_ledger() == (chain.load_tip(), [(b"t", b"totals")])


def test_empty_store_has_no_chain(store: KeyValueStore) -> None:
    chain = ChainStore(store)
    assert not chain.is_created()
    with pytest.raises(RecordMissingError, match="has not been created"):
        chain.load_tip()
    with pytest.raises(RecordMissingError):
        chain.load_genesis()


def test_creating_the_same_chain_again_changes_nothing(chain: ChainStore) -> None:
    append_block(chain, changes=[(b"t", b"later")])
    chain.create(GENESIS, [(b"t", b"totals")])
    assert chain.tip_height() == 1
    assert chain.load_ledger()[1] == [(b"t", b"later")]


def test_creating_another_chain_is_refused(chain: ChainStore) -> None:
    with pytest.raises(GenesisMismatchError, match=GENESIS.chain_id.hex()):
        chain.create(make_genesis(network="another"), [])
    assert chain.load_genesis() == GENESIS


def test_other_layout_is_refused(chain: ChainStore, store: KeyValueStore) -> None:
    store.put(schema.VERSION_KEY, schema.number_bytes(schema.SCHEMA_VERSION + 1))
    with pytest.raises(SchemaVersionError, match="layout 2"):
        chain.create(GENESIS, [])


def test_appended_block_is_found_by_height_and_hash(chain: ChainStore) -> None:
    first = append_block(chain)
    second = append_block(chain, [transfer(0)])
    assert [chain.load_block(Height(height)) for height in (1, 2)] == [first, second]
    assert chain.load_certificate(Height(2)) == certificate_of(second)
    assert (chain.height_of(first.hash), chain.height_of(second.hash)) == (1, 2)
    assert chain.load_tip() == Tip(height=Height(2), hash=second.hash)


def test_what_is_not_there_is_said(chain: ChainStore) -> None:
    with pytest.raises(RecordMissingError, match="no Block at height 0"):
        chain.load_block(Height(0))
    with pytest.raises(RecordMissingError, match="no Certificate at height 5"):
        chain.load_certificate(Height(5))
    assert chain.height_of(word("unknown")) is None
    assert chain.height_of_transaction(word("unknown")) is None
    assert chain.load_beacon(Height(1)) is None


def test_block_updates_the_ledger(chain: ChainStore, store: KeyValueStore) -> None:
    append_block(chain, changes=[(b"a1", b"one"), (b"a2", b"two")])
    append_block(chain, changes=[(b"a1", None), (b"a3", b""), (b"t", b"new")])
    assert chain.load_ledger() == (chain.load_tip(), [(b"a2", b"two"), (b"a3", b""), (b"t", b"new")])
    assert LedgerStore(store).load_entry(b"a2") == b"two"
    assert LedgerStore(store).load_entry(b"a1") is None


def test_block_takes_its_transactions_out_of_the_mempool(chain: ChainStore, store: KeyValueStore) -> None:
    mempool = MempoolStore(store)
    waiting = [transfer(number) for number in range(4)]
    mempool.add_many(waiting)
    append_block(chain, [waiting[1], waiting[3], transfer(9)])
    assert mempool.load_waiting() == [waiting[0], waiting[2]]
    assert chain.height_of_transaction(waiting[1].digest) == 1
    assert chain.height_of_transaction(waiting[0].digest) is None


def test_envelope_with_another_signature_leaves_the_mempool_too(chain: ChainStore, store: KeyValueStore) -> None:
    MempoolStore(store).add(transfer(0))
    append_block(chain, [replace(transfer(0), signature=bytes(64))])
    assert MempoolStore(store).count() == 0


def test_block_indexes_its_round_commits_and_a_later_run_replaces_them(chain: ChainStore, store: KeyValueStore) -> None:
    commits = [signed(make_commit(JOB, 0, [], state_out=word(salt))) for salt in ("forged", "honest")]
    append_block(chain, [transfer(0), commits[0]])
    assert ReportStore(store).load_round_commit(JOB, 0) == commits[0]
    append_block(chain, [commits[1]])
    assert ReportStore(store).load_round_commit(JOB, 0) == commits[1]


def test_beacon_is_kept_with_its_block(chain: ChainStore) -> None:
    block = block_on(chain.load_tip())
    chain.append(block, certificate_of(block), ledger_changes=[], beacon=word("beacon"))
    assert chain.load_beacon(Height(1)) == word("beacon")


def refuse(chain: ChainStore, store: KeyValueStore, tip: Tip, **header: object) -> None:
    block = block_on(tip, [transfer(0)])
    block = replace(block, header=replace(block.header, **header))
    before = dict(store.scan())
    with pytest.raises(NotNextBlockError) as caught:
        chain.append(block, certificate_of(block), ledger_changes=[(b"t", b"wrong")])
    assert caught.value.code == "not-next-block"
    assert dict(store.scan()) == before


def test_block_that_does_not_follow_changes_nothing(chain: ChainStore, store: KeyValueStore) -> None:
    append_block(chain)
    refuse(chain, store, chain.load_tip(), height=1)
    refuse(chain, store, chain.load_tip(), height=3)
    refuse(chain, store, chain.load_tip(), parent=word("fork"))


def test_certificate_of_another_block_changes_nothing(chain: ChainStore, store: KeyValueStore) -> None:
    block = block_on(chain.load_tip())
    before = dict(store.scan())
    for fault in ({"height": 2}, {"block": word("other")}):
        with pytest.raises(NotNextBlockError, match="certificate"):
            chain.append(block, replace(certificate_of(block), **fault), ledger_changes=[])
    assert dict(store.scan()) == before


def test_block_with_a_malformed_transaction_changes_nothing(chain: ChainStore, store: KeyValueStore) -> None:
    block = replace(block_on(chain.load_tip()), transactions=(encode(transfer(0)), b"\xc1"))
    before = dict(store.scan())
    with pytest.raises(EncodingError):
        chain.append(block, certificate_of(block), ledger_changes=[(b"t", b"wrong")])
    assert dict(store.scan()) == before


def test_damaged_records_are_named(chain: ChainStore, store: KeyValueStore) -> None:
    append_block(chain)
    store.put(schema.block_key(Height(1)), b"\xa5" * 100)
    store.put(schema.certificate_key(Height(1)), b"")
    with pytest.raises(RecordCorruptError, match="Block at height 1"):
        chain.load_block(Height(1))
    with pytest.raises(RecordCorruptError, match="Certificate at height 1"):
        chain.load_certificate(Height(1))


def test_real_chain_is_rebuilt_from_the_store(store: KeyValueStore) -> None:
    source = start_chain()
    chain = ChainStore(store)
    state = source.view.state
    chain.create(source.genesis, state.diff(LedgerState()))
    source.open_job()
    for block, certificate in zip(source.blocks, source.certificates, strict=True):
        after = source.view.state if block is source.blocks[-1] else state
        chain.append(block, certificate, ledger_changes=after.diff(state), beacon=source.beacons[block.header.height])
        state = after
    tip, entries = chain.load_ledger()
    assert LedgerState.from_entries(entries) == source.view.state
    assert state_root(LedgerState.from_entries(entries)) == source.blocks[-1].header.state_root
    assert (tip.height, tip.hash) == (2, source.blocks[-1].hash)
    assert [chain.load_block(Height(height)) for height in (1, 2)] == source.blocks
    assert chain.load_beacon(Height(2)) == source.beacons[Height(2)]
