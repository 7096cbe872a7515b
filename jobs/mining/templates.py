"""The block templates a miner has committed to, and which of them it may use now.

A template is a header without a seal. It goes out with every slot report, as a hash; from `commit_lead` rounds later on
the miner may look for a nonce with it. So transactions, time and state root were fixed before any result was known. A
result may be tried with one template: the one that the miner committed to with its first slot of the last round it had
a slot in.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from consensus.crypto.signing import Signed
from consensus.primitives.integers import Digest
from consensus.records.block import Header

_KEPT_ROUNDS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A header the supervisor offered, with the transactions under its root."""

    header: Header
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedTemplate:
    """A template whose hash went out with the signed report of a slot."""

    template: Template
    slot: int
    report: Signed


@dataclass(slots=True)
class TemplateBook:
    """One miner's templates. Those on an old tip are dropped: a block on them could not be accepted."""

    _present: Template | None = None
    _committed: OrderedDict[tuple[Digest, int], CommittedTemplate] = field(default_factory=OrderedDict)
    """By job and round."""

    def offer(self, template: Template) -> None:
        """A new template from the supervisor."""
        if self._present is None or template.header.parent != self._present.header.parent:
            self._committed.clear()
        self._present = template

    def to_commit(self) -> Template | None:
        """The template to commit to with the next report, if there is one."""
        return self._present

    def committed(self, template: Template, job: Digest, round_number: int, slot: int, report: Signed) -> None:
        """The template went out with this report."""
        if self._present is None or template.header.parent != self._present.header.parent:
            return
        known = self._committed.get((job, round_number))
        if known is None or slot <= known.slot:
            self._committed[job, round_number] = CommittedTemplate(template=template, slot=slot, report=report)
        while len(self._committed) > _KEPT_ROUNDS:
            self._committed.popitem(last=False)

    def usable(self, job: Digest, round_number: int, commit_lead: int) -> CommittedTemplate | None:
        """The template that may be used for a result of this round."""
        rounds = [number for of, number in self._committed if of == job and number + commit_lead <= round_number]
        return self._committed[job, max(rounds)] if rounds else None

    def drop(self) -> None:
        """A block was made of a template: the others have the same parent."""
        self._committed.clear()
        self._present = None
