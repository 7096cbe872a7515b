"""Audits that anyone who has the files can repeat, with the site up or down: the rules, and the training itself.

The share of a job that is replayed is drawn as whole stretches between two checkpoints, by randomness of the auditor's
own: replaying a tenth of a job then costs a tenth of its training. A forged slot is found with the probability of its
stretch being drawn; stretches are drawn independently of what is in them.
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from cluster.config import HomeLayout
from cluster.errors import UsageError
from cluster.node.stored_chain import StoredSite, find_fault, open_stored_site
from cluster.views import View
from consensus.primitives.integers import Digest

Progress = Callable[[int, int], None]
"""Called with how many of how many are done."""
Item = TypeVar("Item")


class VerifyView(View, frozen=True):
    """What `pouw chain verify` found."""

    valid: bool
    height: int
    blocks_checked: int
    slots_replayed: int
    seconds: float
    fault: str = ""
    warnings: tuple[str, ...] = ()


class AuditView(View, frozen=True):
    """What `pouw audit` found."""

    sampled: int
    match: int
    mismatch: int
    inconclusive: int
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def verify_chain(home: HomeLayout, replay_share: float, progress: Progress) -> VerifyView:
    """Check a home's chain from genesis; replay a share of every job's rounds that are on it.

    Raises:
        NotFoundError: there is no chain in this home.
        ConflictError: its files are damaged.
        UsageError: the share is not one.
    """
    _check_share(replay_share)
    started_s = time.monotonic()
    with open_stored_site(home) as site:
        height = site.chain.tip_height()
        checked, fault = find_fault(site, lambda done: progress(done, height))
        replayed = 0
        if not fault and replay_share > 0:
            replayed, fault = _replay_jobs(site, replay_share, progress)
        fixed = site.genesis.start_beacon is not None
    return VerifyView(
        valid=not fault,
        height=height,
        blocks_checked=checked,
        slots_replayed=replayed,
        seconds=time.monotonic() - started_s,
        fault=fault,
        warnings=("the genesis fixes the start beacon: a client could have prepared its job",) if fixed else (),
    )


def audit_job(home: HomeLayout, job_id: str, share: float, progress: Progress) -> AuditView:
    """Replay a share of one job's slots and compare all that was recorded of them.

    Raises:
        NotFoundError: no such job on this chain, or no chain.
        ConflictError: the job was not started, or files are damaged.
        UsageError: the share is not one, or the id is none.
    """
    _check_share(share)
    started_s = time.monotonic()
    with open_stored_site(home) as site:
        view = _audit(site, _job_id(job_id), share, progress)
    return AuditView(
        sampled=view.sampled,
        match=view.match,
        mismatch=view.mismatch,
        inconclusive=view.inconclusive,
        notes=view.notes,
        seconds=time.monotonic() - started_s,
    )


def _replay_jobs(site: StoredSite, share: float, progress: Progress) -> tuple[int, str]:
    from consensus.ledger.state import LedgerState

    _, entries = site.chain.load_ledger()
    jobs = LedgerState.from_entries(entries).jobs
    replayed = 0
    for job in [job for job, account in jobs.items() if account.next_round > 0]:
        view = _audit(site, job, share, progress)
        replayed += view.sampled - view.inconclusive
        if view.mismatch:
            return replayed, view.notes[0]
    return replayed, ""


def _audit(site: StoredSite, job: Digest, share: float, progress: Progress) -> AuditView:
    from cluster.node.stored_job import intervals_of, stored_account, stored_opening
    from jobs.determinism import configure
    from jobs.spec.canonical import parse_spec

    account = stored_account(site, job)
    opening = stored_opening(site, job, account)
    configure(parse_spec(opening.spec).train.replay_class)
    from cluster.node.rerun import Findings, JobRerun

    chosen = draw(intervals_of(site, job, account), share)
    findings = Findings()
    total = sum(interval.end - interval.start for interval in chosen) * account.slots
    if chosen:
        rerun = JobRerun(site, opening)
        for interval in chosen:
            rerun.run(interval, findings, lambda: progress(findings.sampled, total))
    return AuditView(
        sampled=findings.sampled,
        match=findings.match,
        mismatch=findings.mismatch,
        inconclusive=findings.inconclusive,
        notes=tuple(findings.notes),
    )


def draw(items: Sequence[Item], share: float) -> list[Item]:
    """A random share of `items`, in their order; at least one of them unless the share is 0."""
    count = min(len(items), math.ceil(share * len(items)))
    numbers = secrets.SystemRandom().sample(range(len(items)), count)
    return [items[number] for number in sorted(numbers)]


def _check_share(share: float) -> None:
    if not (math.isfinite(share) and 0 <= share <= 1):
        raise UsageError(f"the share {share:g} must be from 0 to 1")


def _job_id(text: str) -> Digest:
    try:
        return Digest(bytes.fromhex(text))
    except ValueError as error:
        raise UsageError(f"{text!r} is not the id of a job") from error
