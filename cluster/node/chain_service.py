"""One supervisor's chain: the view of its tip, the beacons, and how a block that was found good becomes final."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from consensus.chain.acceptance import Candidate, check_block
from consensus.chain.genesis import genesis_beacon
from consensus.chain.view import advance_view, open_view
from consensus.crypto.keys import Signer
from consensus.finality.certificate import check_certificate, derive_beacon, endorse
from consensus.ledger.context import TransitionContext
from consensus.ledger.state import LedgerState
from consensus.ledger.transition import OpenTransaction, open_encoded
from consensus.ports import WorkLog
from consensus.primitives.integers import Digest, Height, TimeMs
from consensus.records.block import Block, Certificate, Endorsement
from consensus.records.genesis import Genesis
from storage.chain_store import ChainStore

_OPENED_LIMIT: Final = 20_000


@dataclass(slots=True)
class OpenedBefore:
    """Transactions opened once: a round commit is seen on arrival, in every template and in the block that holds it."""

    _opened: OrderedDict[bytes, OpenTransaction] = field(default_factory=OrderedDict)

    def open(self, data: bytes, context: TransitionContext) -> OpenTransaction:
        """Open an envelope of this chain, or give what it was opened to before. Raises as `open_encoded`."""
        found = self._opened.get(data)
        if found is None:
            found = self._opened[data] = open_encoded(data, context)
            if len(self._opened) > _OPENED_LIMIT:
                self._opened.popitem(last=False)
        return found


class ChainService:
    """Judges and appends blocks. The only writer of its store's chain."""

    def __init__(self, *, genesis: Genesis, store: ChainStore, work: WorkLog) -> None:
        self.genesis = genesis
        self._store = store
        tip, entries = store.load_ledger()
        block = store.load_block(tip.height) if tip.height else None
        parent = store.load_block(Height(tip.height - 1)).header if tip.height > 1 else None
        self._load_beacon = lru_cache(maxsize=65_536)(store.load_beacon)
        state = LedgerState.from_entries(entries)
        self.opener = OpenedBefore()
        self.view = open_view(
            genesis=genesis,
            state=state,
            work=work,
            beacon=self.beacon,
            tip=block,
            parent=parent,
            opener=self.opener.open,
        )

    @property
    def chain_id(self) -> Digest:
        """The chain's name."""
        return self.view.chain_id

    @property
    def height(self) -> Height:
        """Height of the last final block."""
        return Height(self.view.next_height - 1)

    def beacon(self, height: Height) -> Digest | None:
        """The beacon that the block of a height released; None while that is not final."""
        if height == 0:
            return genesis_beacon(self.genesis.chain_id)
        return self._load_beacon(height) if height <= self.height else None

    def check(self, data: bytes, now_ms: TimeMs) -> Candidate:
        """Whether a block may follow the tip. Raises InvalidBlockError."""
        return check_block(data, self.view, now_ms)

    def endorse(self, signer: Signer, block: Block) -> Endorsement:
        """The word of a supervisor for a block that it found good."""
        return endorse(signer, self.chain_id, block, self._last_beacon())

    def append(self, candidate: Candidate, endorsements: Sequence[Endorsement]) -> Certificate:
        """Make a judged block final: durable when this returns.

        Raises:
            InvalidBlockError: CERTIFICATE, the endorsements are not a quorum's.
        """
        block, previous = candidate.block, self._last_beacon()
        certificate = Certificate(
            height=block.header.height, block=block.hash, round=0, endorsements=tuple(endorsements)
        )
        check_certificate(certificate, block, self.view.committee, self.chain_id, previous)
        beacon = derive_beacon(certificate, previous)
        changes = candidate.state.diff(self.view.state)
        self._store.append(block, certificate, ledger_changes=changes, beacon=beacon)
        self.view = advance_view(self.view, block, candidate.state)
        return certificate

    def _last_beacon(self) -> Digest:
        beacon = self.beacon(self.height)
        if beacon is None:
            raise LookupError(f"no beacon is stored for height {self.height}")
        return beacon
