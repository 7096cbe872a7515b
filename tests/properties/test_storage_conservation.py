"""Storage transactions mixed with all others: credits are conserved, and locks are those of the pieces held."""

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from msgspec.structs import replace

from consensus.ledger.entries import Deal, Replica
from consensus.primitives.integers import PublicKey
from consensus.records.storage import (
    CloseDeal,
    DealId,
    DropPiece,
    JudgeReplica,
    KeepWeights,
    LeavePiece,
    OfferStorage,
    PieceRoot,
    Pulse,
    ReportService,
    SettleChallenge,
    Stake,
    StorageTerms,
    Unstake,
)
from consensus.records.transactions import CancelJob, CloseJob, StartJob, SubmitJob
from consensus.storage.sectors import replica_size
from tests.kit.deals import activate, add_provider, assignment, commitment, deal_message, proof
from tests.kit.genesis import public_key
from tests.kit.work import make_commit, word
from tests.properties.test_ledger_conservation import RARELY, LedgerMachine

TERMS = StorageTerms(data_pieces=1, total_pieces=2, price=6, collateral=9, proofs=2)

PROVIDERS = ("rival", "north", "east", "south")
"""One is a miner too, so that a proven fraud can meet a provider that keeps pieces."""
NODES = st.sampled_from(["north", "south"])
NUMBERS = st.integers(0, 2)
SILENT = st.sampled_from([(), (), PROVIDERS[:1], PROVIDERS])
LAST_HEIGHT, CLOSING, MOST_DEALS = 90, 11, 2


class StorageMachine(LedgerMachine):
    """Random steps in the life of deals. Most are the next step of some piece; the others break a rule."""

    deals: list[DealId]

    @initialize()
    def start(self) -> None:
        super().start()
        self.deals = []
        for name in PROVIDERS:
            add_provider(self.ledger, name, capacity=50_000, stake=3_000)
        for collateral in (400, 0):
            self.open_deal(3, 3, collateral)
        for number, name in enumerate(PROVIDERS[:2]):
            activate(self.ledger, self.deals[0], number, name)

    def open_deals(self) -> list[DealId]:
        return [deal for deal in self.deals if self.ledger.state.deals[deal].is_open]

    def pick_deal(self, number: int) -> DealId:
        """An open deal, as long as there is one."""
        choice = self.open_deals() or self.deals
        return choice[number % len(choice)]

    def name_of(self, replica: Replica) -> str:
        return next(name for name in PROVIDERS if public_key(name) == replica.provider)

    @rule(copies=st.integers(1, 3), proofs=st.integers(1, 4), collateral=st.sampled_from([0, 400, 900]))
    def open_deal(self, copies: int, proofs: int, collateral: int) -> None:
        if len(self.open_deals()) > MOST_DEALS:
            return
        message = deal_message(self.ledger, proofs=proofs, collateral=collateral)
        message = replace(message, pieces=message.pieces[:copies])
        if self.offer("client", message):
            self.deals.append(self.ledger.sign("client", message).digest)

    @rule(ends=RARELY)
    def keep_weights_of_a_job(self, ends: bool) -> None:
        """A job of one round that pays for its weights, up to its deal; or its client takes the money back instead."""
        fields = {"name": "n", "spec": word("spec"), "dataset": word("data"), "audit_ppm": 10_000, "reward": 100}
        submission = SubmitJob(sequence=self.sequence("client"), rounds=1, slots=2, storage=TERMS, **fields)
        if len(self.open_deals()) > MOST_DEALS or not self.offer("client", submission):
            return
        job = self.ledger.sign("client", submission).digest
        self.offer("supervisor", StartJob(job=job, coordinator=public_key("coordinator")))
        commit = make_commit(job, 0, [self.ledger.report(job, 0, slot) for slot in range(2)], final=True)
        if not self.offer("coordinator", replace(commit, slots=self.substitutes(commit.slots))):
            return
        self.offer("supervisor", self.ledger.settlement(job, 1))
        assert self.offer("supervisor", CloseJob(job=job, outcome="completed"))
        assert self.ledger.job(job).escrow == TERMS.escrow
        if ends:
            assert self.offer("client", CancelJob(sequence=self.sequence("client"), job=job))
        pieces = (PieceRoot(root=commit.state_out, size=5_000),) * TERMS.total_pieces
        keeping = KeepWeights(job=job, size=5_000, binding=word("layout"), pieces=pieces)
        assert self.offer("supervisor", keeping) is not ends
        assert not self.offer("supervisor", keeping)
        if not ends:
            self.deals.append(self.ledger.sign("supervisor", keeping).digest)

    @rule(name=st.sampled_from(PROVIDERS), amount=st.integers(0, 3_500), takes=RARELY)
    def move_stake(self, name: str, amount: int, takes: bool) -> None:
        kind = Unstake if takes else Stake
        self.offer(name, kind(sequence=self.sequence(name), amount=amount))

    @rule(name=st.sampled_from(PROVIDERS), node=NODES, capacity=st.sampled_from([100, 13_000, 90_000, 90_000]))
    def offer_storage(self, name: str, node: str, capacity: int) -> None:
        self.offer(name, OfferStorage(sequence=self.sequence(name), node=node, capacity=capacity))

    @rule(number=NUMBERS, first=NUMBERS, steps=st.integers(1, 3), accepted=st.sampled_from([True] * 5 + [False]))
    def advance(self, number: int, first: int, steps: int, accepted: bool) -> None:
        """Take every piece of a deal some steps further."""
        deal = self.pick_deal(number)
        for piece in range(len(self.ledger.state.deals[deal].pieces)):
            for _ in range(steps):
                self.advance_piece(deal, piece, PROVIDERS[(first + piece) % len(PROVIDERS)], accepted=accepted)

    def advance_piece(self, deal: DealId, piece: int, name: str, *, accepted: bool) -> None:
        """Assign it, or commit or judge what is not active yet."""
        waiting = [item for item in self.ledger.state.deals[deal].pieces[piece].replicas if not item.is_active]
        if not waiting:
            self.offer("supervisor", assignment(self.ledger, deal, piece, name))
            return
        term, root, holder = waiting[0].term, waiting[0].root, self.name_of(waiting[0])
        if root is None:
            self.offer(holder, commitment(self.ledger, deal, piece, holder))
            return
        judge = JudgeReplica(deal=deal, piece=piece, term=term, replica=root, accepted=accepted)
        self.offer("supervisor", judge)

    @rule(number=NUMBERS, piece=NUMBERS, action=st.integers(0, 2), stale=RARELY)
    def disturb(self, number: int, piece: int, action: int, stale: bool) -> None:
        """Leave, drop or report what is there, or what was there before."""
        deal = self.pick_deal(number)
        account = self.ledger.state.deals[deal]
        piece %= len(account.pieces)
        replicas = account.pieces[piece].replicas
        if not replicas:
            return
        term = max(0, replicas[-1].term - stale)
        height = account.challenge_height or 0
        signer = self.name_of(replicas[0]) if action == 0 else "supervisor"
        kinds = (
            LeavePiece(deal=deal, piece=piece, term=term),
            DropPiece(deal=deal, piece=piece, term=term),
            ReportService(deal=deal, piece=piece, term=term, height=height),
        )
        self.offer(signer, kinds[action])

    @rule(number=NUMBERS, silent=SILENT, late=st.sampled_from([0, 1, 3, 3]), times=st.integers(1, 2))
    def challenge(self, number: int, silent: tuple[str, ...], late: int, times: int) -> None:
        """Go on to a deal's challenge; all but the silent prove, twice; settle if the time has come."""
        deal = self.pick_deal(number)
        for _ in range(times):
            self.run_challenge(deal, silent, late)

    def run_challenge(self, deal: DealId, silent: tuple[str, ...], late: int) -> None:
        account = self.ledger.state.deals[deal]
        height = account.challenge_height
        if height is None or height > LAST_HEIGHT:
            return
        self.ledger.move_to(max(self.ledger.context.height, height + min(late, 1)))
        for place, piece in enumerate(account.pieces):
            if piece.holder is not None and self.name_of(piece.holder) not in silent:
                name = self.name_of(piece.holder)
                message = proof(self.ledger, deal, place, name)
                self.offer(name, message)
                assert not self.offer(name, message)
        self.ledger.move_to(max(self.ledger.context.height, height + late))
        self.offer("supervisor", SettleChallenge(deal=deal, height=height))
        self.offer("supervisor", Pulse(height=self.ledger.context.height))

    @rule(number=NUMBERS, chance=st.integers(0, 15))
    def close_deal(self, number: int, chance: int) -> None:
        if chance == CLOSING:
            self.offer("client", CloseDeal(sequence=self.sequence("client"), deal=self.pick_deal(number)))

    @invariant()
    def deals_pay_what_they_hold(self) -> None:
        for deal in self.ledger.state.deals.values():
            whole = deal.price * len(deal.pieces)
            assert deal.escrow >= 0
            if deal.is_open:
                assert deal.escrow + deal.paid == whole * deal.proofs
                assert deal.escrow >= whole * (deal.proofs_left - 1)
            else:
                assert deal.escrow == 0
                assert deal.paid <= whole * deal.proofs

    @invariant()
    def locks_are_those_of_the_pieces_held(self) -> None:
        locked, used = self.held_by_provider()
        state = self.ledger.state
        for key, account in state.accounts.items():
            assert account.locked == (0 if account.excluded else locked[key])
            assert account.locked <= account.stake
        assert {key: offer.used for key, offer in state.providers.items() if offer.used} == dict(used)

    def held_by_provider(self) -> tuple[Counter[PublicKey], Counter[PublicKey]]:
        locked: Counter[PublicKey] = Counter()
        used: Counter[PublicKey] = Counter()
        for deal in self.ledger.state.deals.values():
            for piece in deal.pieces:
                for replica in piece.replicas:
                    locked[replica.provider] += deal.collateral
                    used[replica.provider] += replica_size(piece.size)
        return locked, used

    @invariant()
    def open_deals_are_counted(self) -> None:
        assert self.ledger.state.totals.open_deals == sum(deal.is_open for deal in self.ledger.state.deals.values())

    @invariant()
    def pieces_are_in_a_state_that_there_is(self) -> None:
        for deal in self.ledger.state.deals.values():
            replicas = [replica for piece in deal.pieces for replica in piece.replicas]
            assert len({replica.provider for replica in replicas}) == len(replicas)
            assert deal.is_open or not replicas
            assert (deal.challenge_height is not None) == any(replica.is_active for replica in replicas)
            self.check_pieces(deal)

    def check_pieces(self, deal: Deal) -> None:
        for piece in deal.pieces:
            holder, successor = piece.holder, piece.successor
            assert not piece.leaving or (holder is not None and holder.is_active)
            assert successor is None or (piece.leaving and not successor.is_active)
            for replica in piece.replicas:
                assert replica.term < piece.terms
                assert not replica.proved or deal.is_challenged(piece)
                assert replica.is_active or not (replica.strikes or replica.reported)
                assert replica.strikes <= self.ledger.context.params.storage_grace


TestStorageConservation = StorageMachine.TestCase
TestStorageConservation.settings = settings(
    max_examples=50, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
