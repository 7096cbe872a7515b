"""The block templates a miner has committed to, and which of them it may use now.

A template is a header without a seal. It goes out with a slot report, as a hash; from `commit_lead` rounds later on the
miner may look for a nonce with it. So transactions, time and state root were fixed before any result was known.
"""

from collections import deque
from dataclasses import dataclass, field

from consensus.crypto.signing import Signed
from consensus.primitives.integers import Digest
from consensus.records.block import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A header the supervisor offered, with the transactions under its root."""

    header: Header
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedTemplate:
    """A template whose hash went out with the signed report of `round`."""

    template: Template
    job: Digest
    round: int
    report: Signed


@dataclass(slots=True)
class TemplateBook:
    """One miner's templates. Those on an old tip are dropped: a block on them could not be accepted."""

    _fresh: Template | None = None
    _tip: Digest | None = None
    _committed: deque[CommittedTemplate] = field(default_factory=lambda: deque(maxlen=64))

    def offer(self, template: Template) -> None:
        """A new template from the supervisor."""
        if template.header.parent != self._tip:
            self._tip = template.header.parent
            self._committed.clear()
        self._fresh = template

    def to_commit(self) -> Template | None:
        """The template to commit to with the next report, if there is a new one."""
        return self._fresh

    def committed(self, job: Digest, round_number: int, report: Signed) -> None:
        """The fresh template went out with this report."""
        if self._fresh is not None:
            entry = CommittedTemplate(template=self._fresh, job=job, round=round_number, report=report)
            self._committed.append(entry)
            self._fresh = None

    def usable(self, job: Digest, round_number: int, commit_lead: int) -> CommittedTemplate | None:
        """The newest template that may be used for a result of this round."""
        for entry in reversed(self._committed):
            if entry.job == job and entry.round + commit_lead <= round_number:
                return entry
        return None

    def drop(self) -> None:
        """A block was made of a template: the others have the same parent."""
        self._committed.clear()
        self._fresh = None
