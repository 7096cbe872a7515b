"""From a job spec to a paid job: the data goes first, the money last.

Segments are uploaded one by one and only where the site lacks them, so a broken upload goes on where it stopped. The
transaction that pays is signed and sent when everything it commits to is in place.
"""

from collections.abc import Callable
from typing import Final, Protocol

from cluster.api.client import GatewayClient
from cluster.api.service import ChainFacts, Submission
from cluster.client.payments import check_affordable
from cluster.errors import ConflictError
from cluster.storage_terms import storage_terms
from cluster.views import JobView
from cluster.wallet.transactions import sign_submit_job
from consensus.crypto.keys import Signer
from consensus.primitives.digest import bulk_digest
from consensus.primitives.encoding import encode
from consensus.primitives.integers import UNITS_PER_CREDIT, Credits, Digest, Sequence
from jobs.data.manifest import PARTS, DatasetManifest
from jobs.data.prepare import PreparedDataset, prepare_dataset
from jobs.spec.canonical import spec_bytes
from jobs.spec.job import JobSpec

_MILLION: Final = 1_000_000
_AFFORD_HINT: Final = "lower `reward` (or `storage`) in the job file, or pay with another key (--key)"


class SubmitWatcher(Protocol):
    """Who is told how far a submission is. Implementations show it; they decide nothing."""

    def preparing(self, what: str, rows: int) -> None: ...

    def uploading(self, done_bytes: int, total_bytes: int) -> None: ...


def submit_job(client: GatewayClient, signer: Signer, spec: JobSpec, watcher: SubmitWatcher) -> JobView:
    """Prepare the data, upload what the site lacks, pay, and return the queued job.

    Raises:
        ConflictError: the reward is more than the account has, the job lets less be audited than the chain asks, or it
            names another replay class than the site's.
        DataError: the data is missing or does not fit the job.
    """
    facts = client.chain_facts()
    terms = storage_terms(spec)
    cost = Credits(spec.reward * UNITS_PER_CREDIT + (terms.escrow if terms else 0))
    check_affordable(client, signer.public_key, cost, "the job", _AFFORD_HINT)
    _check_audited(facts, spec)
    spec = _in_class_of_site(facts, spec)
    prepared = prepare_dataset(spec, watcher.preparing)
    upload_segments(client, prepared, watcher.uploading)
    submission = _sign(client, signer, spec, prepared.manifest, facts)
    return client.submit_job(submission)


def upload_segments(client: GatewayClient, prepared: PreparedDataset, report: Callable[[int, int], None]) -> int:
    """Put the segments that the site does not have, and return how many bytes that took."""
    total = sum(segment.size_bytes for part in PARTS for segment in prepared.manifest.part(part))
    done = sent = 0
    report(done, total)
    for segment, data in prepared.segments:
        digest = segment.digest.hex()
        if not client.has_artifact(digest):
            client.put_artifact(digest, bytes(data))
            sent += len(data)
        done += len(data)
        report(done, total)
    return sent


def _check_audited(facts: ChainFacts, spec: JobSpec) -> None:
    if spec.verify.audit_ppm < facts.min_audit_ppm:
        least = facts.min_audit_ppm / _MILLION
        raise ConflictError(
            f"the job lets {spec.verify.sample:g} of its slots be audited, this chain asks for {least:g} at least",
            hint=f"set verify: {{sample: {least:g}}} in the job file",
            code="audit-share",
        )


def _in_class_of_site(facts: ChainFacts, spec: JobSpec) -> JobSpec:
    """The job with the site's replay class, unless it names one of its own."""
    if "replay_class" not in spec.train.model_fields_set:
        named = {"replay_class": facts.replay_class}
        return spec.model_copy(update={"train": spec.train.model_copy(update=named)})
    if spec.train.replay_class != facts.replay_class:
        raise ConflictError(
            f"the job asks for the replay class {spec.train.replay_class}, this site trains in {facts.replay_class}",
            hint="leave train.replay_class out of the job file, or start a site with pouw up --replay-class",
            code="replay-class",
        )
    return spec


def _sign(
    client: GatewayClient, signer: Signer, spec: JobSpec, manifest: DatasetManifest, facts: ChainFacts
) -> Submission:
    canonical = spec_bytes(spec)
    signed = sign_submit_job(
        signer,
        Digest(bytes.fromhex(facts.chain_id)),
        sequence=Sequence(client.account(signer.public_key.hex()).sequence),
        name=spec.name,
        spec=bulk_digest(canonical),
        dataset=manifest.root,
        rounds=spec.train.rounds,
        slots=spec.train.slots,
        audit_ppm=spec.verify.audit_ppm,
        reward=Credits(spec.reward * UNITS_PER_CREDIT),
        storage=storage_terms(spec),
    )
    return Submission(transaction=encode(signed), spec=canonical, manifest=encode(manifest))
