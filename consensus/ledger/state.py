"""The whole ledger at one height, as a value. Applying a transaction makes another one that shares what did not change.

Entries are hashed once per block, by `sealed`: until then a state remembers which entries differ from its tree.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from immutables import Map

from consensus.ledger.entries import (
    TOTALS_KEY,
    Account,
    Deal,
    Entry,
    JobAccount,
    PendingRound,
    ProviderAccount,
    Totals,
    account_key,
    deal_key,
    decode_entry,
    job_key,
    provider_key,
    round_key,
)
from consensus.ledger.tree import Tree, differences, entries, tree_root, updated
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Digest, PublicKey
from consensus.records.storage import DealId
from consensus.records.transactions import JobId

_NOTHING: Final = Account()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """Accounts, jobs, pending rounds, providers, deals and totals."""

    accounts: Map[PublicKey, Account] = field(default_factory=Map)
    jobs: Map[JobId, JobAccount] = field(default_factory=Map)
    rounds: Map[bytes, PendingRound] = field(default_factory=Map)
    """By `round_key`."""
    providers: Map[PublicKey, ProviderAccount] = field(default_factory=Map)
    deals: Map[DealId, Deal] = field(default_factory=Map)
    totals: Totals = field(default_factory=Totals)
    tree: Tree = field(default=None, compare=False, repr=False)
    unhashed: Map[bytes, Entry | None] = field(default_factory=Map, compare=False, repr=False)
    """What differs from `tree`; None where an entry was removed."""

    @classmethod
    def from_entries(cls, stored: Iterable[tuple[bytes, bytes]]) -> "LedgerState":
        """Rebuild a state from its keys and values, in any order.

        Raises:
            EncodingError: a key or value is not one of the ledger's.
        """
        values = dict(stored)
        decoded = {key: decode_entry(key, value) for key, value in values.items()}
        totals = decoded.get(TOTALS_KEY)
        return cls(
            accounts=Map((PublicKey(key[1:]), entry) for key, entry in decoded.items() if isinstance(entry, Account)),
            jobs=Map((Digest(key[1:]), entry) for key, entry in decoded.items() if isinstance(entry, JobAccount)),
            rounds=Map((key, entry) for key, entry in decoded.items() if isinstance(entry, PendingRound)),
            providers=Map(
                (PublicKey(k[1:]), entry) for k, entry in decoded.items() if isinstance(entry, ProviderAccount)
            ),
            deals=Map((Digest(key[1:]), entry) for key, entry in decoded.items() if isinstance(entry, Deal)),
            totals=totals if isinstance(totals, Totals) else Totals(),
            tree=updated(None, values),
        )

    def account(self, key: PublicKey) -> Account:
        """The account of a key; an empty one if the ledger has none."""
        return self.accounts.get(key, _NOTHING)

    def pending_rounds(self, job: JobId) -> Iterator[PendingRound]:
        """The rounds of a job that wait to be settled, in order."""
        account = self.jobs[job]
        return (self.rounds[round_key(job, number)] for number in range(account.settled_round, account.next_round))

    def with_account(self, key: PublicKey, account: Account) -> "LedgerState":
        """The state with another account under `key`."""
        unhashed = self.unhashed.set(account_key(key), account)
        return replace(self, accounts=self.accounts.set(key, account), unhashed=unhashed)

    def with_job(self, key: JobId, job: JobAccount) -> "LedgerState":
        """The state with another job under `key`. The number of open jobs follows."""
        before = self.jobs.get(key)
        opened = int(job.is_open) - int(before is not None and before.is_open)
        state = self.with_totals(open_jobs=opened) if opened else self
        return replace(state, jobs=state.jobs.set(key, job), unhashed=state.unhashed.set(job_key(key), job))

    def with_round(self, key: bytes, pending: PendingRound | None) -> "LedgerState":
        """The state with another pending round under a `round_key`, or without one."""
        rounds = self.rounds.delete(key) if pending is None else self.rounds.set(key, pending)
        return replace(self, rounds=rounds, unhashed=self.unhashed.set(key, pending))

    def with_provider(self, key: PublicKey, provider: ProviderAccount) -> "LedgerState":
        """The state with another offer of storage under `key`."""
        unhashed = self.unhashed.set(provider_key(key), provider)
        return replace(self, providers=self.providers.set(key, provider), unhashed=unhashed)

    def with_deal(self, key: DealId, deal: Deal) -> "LedgerState":
        """The state with another deal under `key`. The number of open deals follows."""
        before = self.deals.get(key)
        opened = int(deal.is_open) - int(before is not None and before.is_open)
        state = self.with_totals(open_deals=opened) if opened else self
        return replace(state, deals=state.deals.set(key, deal), unhashed=state.unhashed.set(deal_key(key), deal))

    def with_totals(
        self, *, issued: int = 0, treasury: int = 0, open_jobs: int = 0, open_deals: int = 0
    ) -> "LedgerState":
        """The state with these amounts added to its totals."""
        totals = Totals(
            issued=Credits(self.totals.issued + issued),
            treasury=Credits(self.totals.treasury + treasury),
            open_jobs=self.totals.open_jobs + open_jobs,
            open_deals=self.totals.open_deals + open_deals,
        )
        return replace(self, totals=totals, unhashed=self.unhashed.set(TOTALS_KEY, totals))

    def sealed(self) -> "LedgerState":
        """The same state with every entry hashed; its root then costs nothing."""
        if not self.unhashed:
            return self
        changes = {key: None if entry is None else encode(entry) for key, entry in self.unhashed.items()}
        return replace(self, tree=updated(self.tree, changes), unhashed=Map())

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value, as `from_entries` takes them."""
        return entries(self.sealed().tree)

    def diff(self, previous: "LedgerState") -> tuple[tuple[bytes, bytes | None], ...]:
        """What has to be written, or deleted (None), to come from `previous` to this state."""
        return tuple(differences(self.sealed().tree, previous.sealed().tree))


def state_root(state: LedgerState) -> Digest:
    """What a block header commits to: every entry of the ledger. Costs what changed since the state was last sealed."""
    return tree_root(state.sealed().tree)


def has_open_work(state: LedgerState) -> bool:
    """Whether some job still takes rounds, so that a proof-of-work block can come."""
    return state.totals.open_jobs > 0
