"""A job as a home's files have it: its account, what is needed to run it, and where it can be taken up."""

from dataclasses import dataclass

from cluster.errors import ConflictError, NotFoundError
from cluster.node.ports import JobOpening
from cluster.node.stored_chain import StoredSite
from consensus.chain.genesis import job_beacon
from consensus.ledger.entries import JobAccount
from consensus.ledger.state import LedgerState
from consensus.primitives.encoding import decode
from consensus.primitives.integers import Digest, Height
from consensus.records.work import RoundCommit
from storage.job_store import CheckpointRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Rounds `start` to `end` (not including), run from the checkpoint before `start`; None: from the first state."""

    start: int
    end: int
    checkpoint: CheckpointRef | None


def stored_account(site: StoredSite, job: Digest) -> JobAccount:
    """A job on the stored ledger. Raises NotFoundError."""
    _, entries = site.chain.load_ledger()
    account = LedgerState.from_entries(entries).jobs.get(job)
    if account is None:
        raise NotFoundError(f"there is no job {job.hex()[:16]} on this chain", hint="list them with: pouw jobs")
    return account


def stored_opening(site: StoredSite, job: Digest, account: JobAccount) -> JobOpening:
    """What is needed to run a stored job. Raises ConflictError for one that was not started."""
    beacon = None if account.start_height is None else site.chain.load_beacon(Height(account.start_height))
    if beacon is None or account.coordinator is None:
        raise ConflictError(f"job {account.name} was never started: there is nothing to replay", code="not-started")
    return JobOpening(
        job=job,
        spec=site.artifacts.load_artifact(account.spec),
        manifest=site.jobs.load_manifest(account.dataset),
        beacon=job_beacon(site.genesis, beacon),
        coordinator=account.coordinator,
    )


def intervals_of(site: StoredSite, job: Digest, account: JobAccount) -> list[Interval]:
    """The job's rounds that are on the chain, cut at the stored checkpoints."""
    stored = [ref for ref in site.jobs.load_checkpoints(job) if 0 < ref.round < account.next_round]
    cuts: list[tuple[int, CheckpointRef | None]] = [(0, None), *((r.round, r) for r in stored if _is_on_chain(site, r))]
    ends = [start for start, _ in cuts[1:]] + [account.next_round]
    return [
        Interval(start=start, end=end, checkpoint=ref)
        for (start, ref), end in zip(cuts, ends, strict=True)
        if end > start
    ]


def _is_on_chain(site: StoredSite, reference: CheckpointRef) -> bool:
    """Whether the chain's rounds come through this checkpoint; one that proven fraud led to is passed over."""
    commit = decode(site.reports.load_round_commit(reference.job, reference.round).body, RoundCommit)
    return commit.state_in == reference.state
