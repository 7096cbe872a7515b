"""Which committed slots still have to be replayed, and up to which round a job can be settled.

Everything here follows from final blocks: a round commit, the height that holds it and that height's beacon. After a
restart the book is rebuilt from the chain; only the replays of rounds that are not settled are done again.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from consensus.primitives.integers import Digest
from consensus.records.transactions import AuditedSlot
from consensus.records.work import SlotCommit
from consensus.replay.sampling import is_sampled

_AUDITED_AT_ONCE: Final = 4096
"""Most slots that one settlement names, so that it fits into a transaction; a single round may have more."""


class SlotRef(NamedTuple):
    """One committed slot and the report that stands for it."""

    job: Digest
    round: int
    slot: int
    report: Digest


@dataclass(slots=True)
class _Round:
    number: int
    slots: tuple[SlotRef, ...]
    sampled: tuple[int, ...]
    waiting: set[SlotRef]
    matched: set[SlotRef] = field(default_factory=set)


@dataclass(slots=True)
class AuditBook:
    """Audits of all running jobs. Rounds of a job are added in order."""

    _rounds: dict[Digest, deque[_Round]] = field(default_factory=dict)
    _due: deque[SlotRef] = field(default_factory=deque)
    _suspect: set[Digest] = field(default_factory=set)
    _troubles: dict[Digest, str] = field(default_factory=dict)
    """By job, why the latest replay that was tried could not be done."""

    def add_round(
        self, job: Digest, number: int, slots: Iterable[SlotCommit], beacon: Digest, audit_ppm: int
    ) -> tuple[int, ...]:
        """Draw the slots to audit of a round whose commit is final. Returns their numbers."""
        all_slots = tuple(SlotRef(job, number, i, commit.report) for i, commit in enumerate(slots))
        sampled = tuple(s.slot for s in all_slots if is_sampled(beacon, job, number, s.slot, audit_ppm))
        wanted = all_slots if job in self._suspect else [all_slots[slot] for slot in sampled]
        self._rounds.setdefault(job, deque()).append(_Round(number, all_slots, sampled, set(wanted)))
        self._due.extend(wanted)
        return sampled

    def suspect(self, job: Digest) -> None:
        """Have every slot replayed that is not settled, until a fraud is found.

        For a job that cannot go on: one slot that was not drawn may be why.
        """
        self._suspect.add(job)
        for entry in self._rounds.get(job, ()):
            wanted = [slot for slot in entry.slots if slot not in entry.waiting | entry.matched]
            entry.waiting.update(wanted)
            self._due.extend(wanted)

    def next_due(self) -> SlotRef | None:
        """Take the oldest slot that has to be replayed."""
        return self._due.popleft() if self._due else None

    def put_back(self, slot: SlotRef, why: str = "") -> None:
        """The replay could not be done now: it comes first in its job again, after the other jobs' slots.

        What was discarded meanwhile is not put back.
        """
        if any(slot in entry.waiting for entry in self._rounds.get(slot.job, ())):
            others = [each for each in self._due if each.job != slot.job]
            own = [each for each in self._due if each.job == slot.job]
            self._due = deque([*others, slot, *own])
            self._troubles[slot.job] = why

    def record_match(self, slot: SlotRef) -> None:
        """A replay came to the same bits. It says nothing of a report that has taken this one's place meanwhile."""
        self._troubles.pop(slot.job, None)
        for entry in self._rounds.get(slot.job, ()):
            if slot in entry.waiting:
                entry.waiting.discard(slot)
                entry.matched.add(slot)

    def settleable(self, job: Digest) -> tuple[int, tuple[AuditedSlot, ...]] | None:
        """The round up to which (not including) every audit is done, with the audited slots; None if there is none."""
        upto: int | None = None
        audited: list[AuditedSlot] = []
        for entry in self._rounds.get(job, ()):
            if entry.waiting or (audited and len(audited) + len(entry.sampled) > _AUDITED_AT_ONCE):
                break
            upto = entry.number + 1
            audited.extend(AuditedSlot(round=entry.number, slot=slot) for slot in entry.sampled)
        return None if upto is None else (upto, tuple(audited))

    def settled(self, job: Digest, upto: int) -> None:
        """Rounds before `upto` are settled on chain."""
        rounds = self._rounds.get(job)
        while rounds and rounds[0].number < upto:
            rounds.popleft()
        self._due = deque(s for s in self._due if s.job != job or s.round >= upto)

    def rewind(self, job: Digest, number: int) -> None:
        """Rounds from `number` on were discarded: a fraud was found."""
        self._suspect.discard(job)
        rounds = self._rounds.get(job, deque())
        while rounds and rounds[-1].number >= number:
            rounds.pop()
        self._due = deque(s for s in self._due if s.job != job or s.round < number)

    def close(self, job: Digest) -> None:
        """The job is over."""
        self._suspect.discard(job)
        self._troubles.pop(job, None)
        self._rounds.pop(job, None)
        self._due = deque(s for s in self._due if s.job != job)

    def sampled(self) -> list[tuple[Digest, int, tuple[int, ...]]]:
        """Job, number and drawn slots of every round that is not settled."""
        return [(job, entry.number, entry.sampled) for job, rounds in self._rounds.items() for entry in rounds]

    def clear(self) -> None:
        """Forget everything."""
        self._suspect.clear()
        self._troubles.clear()
        self._rounds.clear()
        self._due.clear()

    def explain_open(self, job: Digest) -> str:
        """What a job's settlement waits for, in words; empty if for no replay."""
        waiting = sum(len(entry.waiting) for entry in self._rounds.get(job, ()))
        trouble = self._troubles.get(job, "")
        words = f"{waiting} drawn slots wait for their replay"
        return "" if not waiting else f"{words} ({trouble})" if trouble else words

    @property
    def backlog(self) -> int:
        """Slots waiting for a replay."""
        return len(self._due)
