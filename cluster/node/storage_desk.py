"""A supervisor's part in keeping artifacts: who takes which piece, whose seal is checked, what is settled when.

The ledger judges proofs by itself. Here is what it leaves to supervisors: assignments, spot checks of fresh seals,
settling challenges in time, and blocks when nothing else makes any. All of it ends in signed transactions.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cluster.control.piece_placement import Provider
from cluster.control.repair import Assign, Deal, Drop, Piece, PieceState, RepairLimits, Successor, plan_repairs
from cluster.node.storage_work import spare_pieces
from cluster.node.supervisor import SupervisorNode
from consensus.ledger.entries import Deal as LedgerDeal
from consensus.ledger.entries import Piece as LedgerPiece
from consensus.ledger.entries import Replica, ReplicaStatus
from consensus.ledger.state import LedgerState
from consensus.primitives.encoding import Record
from consensus.primitives.integers import Digest, PublicKey, TimeMs
from consensus.records.storage import (
    AssignPiece,
    DealId,
    DropPiece,
    JudgeReplica,
    Pulse,
    ReportService,
    SettleChallenge,
)
from consensus.storage.challenge import draw_chunks
from consensus.storage.errors import SealError
from consensus.storage.seal import Opening, Seal, check_opening, seal_passes
from consensus.storage.sectors import replica_size
from storage.deal_store import DealStore
from storage.errors import StorageError
from storage.replica_record import PieceName

_log = logging.getLogger("pouw.supervisor")
_LIMITS: Final = RepairLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class SealCheck:
    """A fresh replica of which some chunks are to be opened."""

    deal: DealId
    piece: int
    term: int
    provider: PublicKey
    replica: Digest
    seal: Seal
    indices: tuple[int, ...]
    leaves: tuple[Digest, ...]
    """Of the piece's chunks with these indices."""


@dataclass(slots=True, kw_only=True)
class StorageDesk:
    """Decides and signs. Asks nobody anything; who asks and answers is for the actor."""

    node: SupervisorNode
    deals: DealStore
    clock_s: Callable[[], float]
    """A clock that only runs forward."""
    clock_ms: Callable[[], TimeMs]
    """The clock that block times come from."""
    has_artifact: Callable[[Digest], bool]
    limits: RepairLimits = _LIMITS
    reasons: dict[DealId, str] = field(default_factory=dict)
    """Why a deal does not get what it needs."""
    _heard_s: dict[PublicKey, float] = field(default_factory=dict)
    _steps: dict[tuple[DealId, int, int, str], float] = field(default_factory=dict)
    """Since when each copy has been in its status."""
    _sealed: dict[PublicKey, frozenset[PieceName]] = field(default_factory=dict)
    _late: dict[tuple[DealId, int], set[bytes]] = field(default_factory=dict)
    """Who was given a piece before and did not deliver."""
    _unreadable: set[Digest] = field(default_factory=set)

    def heard(self, provider: PublicKey, sealed: Iterable[PieceName] = ()) -> None:
        """A provider asked for its work, and said what it has sealed."""
        self._heard_s[provider] = self.clock_s()
        self._sealed[provider] = frozenset(sealed)

    def silent_s(self, provider: PublicKey) -> float:
        """For how long a provider has not been heard of."""
        return self.clock_s() - self._heard_s.get(provider, float("-inf"))

    def is_alive(self, provider: PublicKey) -> bool:
        """Whether a provider was heard of lately."""
        return self.silent_s(provider) <= self.limits.alive_s

    @property
    def state(self) -> LedgerState:
        """The ledger after all that waits for a block."""
        return self.node.pool.state

    def tend(self) -> None:
        """Settle, place and repair what is due, and ask for a block if a deal waits for one."""
        for key, deal in self._open_deals():
            self._settle(key, deal)
            if not self.deals.was_placed(key) and all(p.holder and p.holder.is_active for p in deal.pieces):
                self.deals.mark_placed(key)
        self._give_back()
        self._repair()
        self._pulse()

    def has_origin(self, key: DealId, deal: LedgerDeal) -> bool:
        """Whether providers may still read the pieces here. Once all were kept, the providers have to do."""
        return not self.deals.was_placed(key) and all(self.has_artifact(piece.root) for piece in deal.pieces)

    def checks_due(self) -> list[SealCheck]:
        """Sealed replicas that are final on the chain, with what the beacon after them draws."""
        checks = []
        for key, deal in self.node.chain.view.state.deals.items():
            for number, piece in enumerate(deal.pieces):
                for replica in piece.replicas if deal.is_open else ():
                    check = self._check_of(key, number, piece, replica)
                    if check is not None and self._is_sealed_still(check):
                        checks.append(check)
        return checks

    def judge(self, check: SealCheck, fault: str) -> None:
        """Accept a replica without fault; one with a fault is refused on the chain."""
        if fault:
            self.refuse(check, fault)
        else:
            self._judge(check, accepted=True)

    def refuse(self, check: SealCheck, reason: str) -> None:
        """The provider of a fresh replica failed its checks."""
        self._judge(check, accepted=False, reason=reason)

    def report_service(self, key: DealId, number: int, term: int, reason: str) -> None:
        """A provider did not hand out what it keeps. Once a challenge; more often is no error."""
        deal = self.state.deals.get(key)
        if deal is None or not deal.is_open or deal.challenge_height is None:
            return
        holder = deal.pieces[number].holder
        if holder is None or not holder.is_active or holder.term != term or holder.reported:
            return
        _log.warning("piece %d of deal %s was not handed out: %s", number, key.hex()[:16], reason)
        message = ReportService(
            deal=key, piece=number, term=term, height=deal.challenge_height, reason=reason[:_LONGEST_REASON]
        )
        self.node.try_own(message)

    # what is due

    def _open_deals(self) -> list[tuple[DealId, LedgerDeal]]:
        return [(key, deal) for key, deal in self.state.deals.items() if deal.is_open]

    def _settle(self, key: DealId, deal: LedgerDeal) -> None:
        height, chain = deal.challenge_height, self.node.chain
        if height is None or height > chain.height:
            return
        asked = [piece.holder for piece in deal.pieces if deal.is_challenged(piece)]
        is_over = chain.view.next_height > height + chain.view.params.deadline_blocks
        if is_over or all(holder is not None and holder.proved for holder in asked):
            self.node.try_own(SettleChallenge(deal=key, height=height))

    def _give_back(self) -> None:
        """A vacant piece goes to a provider that still has it: one that came back after its time, for example."""
        for provider, sealed in self._sealed.items():
            offer = self.state.providers.get(provider)
            if offer is None or offer.suspended or not self.is_alive(provider):
                continue
            for key, number in spare_pieces(self.state, sealed):
                deal = self.state.deals[key]
                piece = deal.pieces[number]
                if any(replica.provider == provider for other in deal.pieces for replica in other.replicas):
                    continue  # no provider keeps two pieces of a deal
                if provider in self._late.get((key, number), ()):
                    continue  # it said so before, and did not deliver
                self.node.try_own(AssignPiece(deal=key, piece=number, term=piece.terms, provider=provider))

    def _repair(self) -> None:
        deals = [self._plan_of(key, deal) for key, deal in self._open_deals()]
        plan = plan_repairs(deals, self._providers(), self.limits)
        self.reasons = {Digest(key): reason for key, reason in plan.reasons}
        for action in plan.actions:
            piece = self.state.deals[Digest(action.deal)].pieces[action.piece]
            match action:
                case Assign():
                    message: Record = AssignPiece(
                        deal=Digest(action.deal),
                        piece=action.piece,
                        term=piece.terms,
                        provider=PublicKey(action.provider),
                    )
                case Drop():
                    term = next(r.term for r in piece.replicas if r.provider == action.provider)
                    self._late.setdefault((Digest(action.deal), action.piece), set()).add(action.provider)
                    message = DropPiece(deal=Digest(action.deal), piece=action.piece, term=term)
            self.node.try_own(message)

    def _pulse(self) -> None:
        """Challenges and deadlines count blocks; while a deal waits for one, blocks have to come."""
        view = self.node.chain.view
        waits = any(deal.challenge_height is not None for _, deal in self._open_deals())
        is_old = self.clock_ms() - view.tip_time_ms >= view.params.block_interval_ms
        if waits and is_old and not len(self.node.pool):
            self.node.try_own(Pulse(height=view.next_height))

    def _providers(self) -> list[Provider]:
        accounts = {key: self.state.account(key) for key in self.state.providers}
        return [
            Provider(
                key=key,
                node=offer.node,
                free_bytes=max(0, offer.capacity - offer.used),
                silent_s=self.silent_s(key),
                free_stake=accounts[key].free_stake,
                is_usable=not accounts[key].excluded and not offer.suspended,
            )
            for key, offer in self.state.providers.items()
        ]

    def _plan_of(self, key: DealId, deal: LedgerDeal) -> Deal:
        pieces = tuple(self._piece_of(key, number, piece) for number, piece in enumerate(deal.pieces))
        passes = seal_passes(deal.pieces[0].size, self.node.chain.view.params.seal_floor_bytes)
        return Deal(
            key=key,
            data_pieces=deal.data_pieces,
            pieces=pieces,
            passes=passes,
            collateral=deal.collateral,
            has_origin=self.has_origin(key, deal),
        )

    def _piece_of(self, key: DealId, number: int, piece: LedgerPiece) -> Piece:
        holder, successor = piece.holder, piece.successor
        if holder is None:
            avoided = frozenset(self._late.get((key, number), ()))
            return Piece(index=number, size=replica_size(piece.size), avoided=avoided)
        follows = None
        if successor is not None:
            since_s = self._since_s(key, number, successor)
            follows = Successor(provider=successor.provider, state=_STATES[successor.status], since_s=since_s)
        return Piece(
            index=number,
            size=replica_size(piece.size),
            state=_STATES[holder.status],
            provider=holder.provider,
            since_s=self._since_s(key, number, holder),
            is_leaving=piece.leaving,
            successor=follows,
        )

    def _since_s(self, key: DealId, number: int, replica: Replica) -> float:
        now_s = self.clock_s()
        return now_s - self._steps.setdefault((key, number, replica.term, replica.status.value), now_s)

    # fresh seals

    def _check_of(self, key: DealId, number: int, piece: LedgerPiece, replica: Replica) -> SealCheck | None:
        beacon = self.node.chain.beacon(replica.since)
        if replica.status is not ReplicaStatus.SEALED or replica.root is None or beacon is None:
            return None
        leaves = self._leaves_of(piece.root)
        if leaves is None:
            return None
        params = self.node.chain.view.params
        seal = Seal.for_piece(key, number, replica.provider, size=piece.size, floor_bytes=params.seal_floor_bytes)
        indices = draw_chunks(beacon, key, number, replica.provider, seal.chunk_count, params.seal_checks)
        return SealCheck(
            deal=key,
            piece=number,
            term=replica.term,
            provider=replica.provider,
            replica=replica.root,
            seal=seal,
            indices=indices,
            leaves=tuple(leaves[index] for index in indices),
        )

    def _leaves_of(self, root: Digest) -> tuple[Digest, ...] | None:
        """None for a client's deal about what this site does not have, and for what is damaged."""
        try:
            return self.deals.load_manifest(root).leaves
        except StorageError as error:
            if root not in self._unreadable:
                self._unreadable.add(root)
                _log.error("a replica cannot be checked: %s", error)
            return None

    def _is_sealed_still(self, check: SealCheck) -> bool:
        deal = self.state.deals.get(check.deal)
        if deal is None or not deal.is_open:
            return False
        replicas = {replica.term: replica for replica in deal.pieces[check.piece].replicas}
        return check.term in replicas and replicas[check.term].status is ReplicaStatus.SEALED

    def _judge(self, check: SealCheck, *, accepted: bool, reason: str = "") -> None:
        message = JudgeReplica(
            deal=check.deal,
            piece=check.piece,
            term=check.term,
            replica=check.replica,
            accepted=accepted,
            reason=reason[:_LONGEST_REASON],
        )
        self.node.try_own(message)


_LONGEST_REASON: Final = 200
_STATES: Final = {
    ReplicaStatus.ASSIGNED: PieceState.ASSIGNED,
    ReplicaStatus.SEALED: PieceState.SEALED,
    ReplicaStatus.ACTIVE: PieceState.ACTIVE,
}


def find_fault(check: SealCheck, openings: Sequence[Opening]) -> str:
    """What is wrong with a fresh replica, or nothing. Takes as long as unsealing its chunks: for a thread."""
    if len(openings) != len(check.indices):
        return f"{len(openings)} of {len(check.indices)} chunks were opened"
    for index, leaf, opening in zip(check.indices, check.leaves, openings, strict=True):
        try:
            check_opening(opening, check.seal, check.replica, index, leaf)
        except SealError as error:
            return str(error)
    return ""
