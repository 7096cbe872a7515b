"""A site in memory: `SiteService` with a ledger of a few lines, for tests of API, client and command line."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import numpy as np

from cluster.api.service import ChainFacts, Submission, WeightsInfo
from cluster.credits import format_credits, parse_credits
from cluster.errors import ConflictError, NotFoundError, UsageError
from cluster.views import (
    AccountView,
    ArtifactView,
    BlockView,
    ChainTipView,
    ClusterView,
    DealView,
    JobView,
    LogLine,
    LogQuery,
    MinerView,
    NodeView,
    PiecesView,
    PieceView,
    ProbeView,
    ProcessView,
    ProviderView,
    ScaleView,
    SiteView,
    StorageView,
    TransactionView,
)
from consensus.crypto.signing import Signed, check_signature, decode_signed, open_signed
from consensus.errors import InvalidTransactionError, Reject
from consensus.primitives.digest import CHUNK_BYTES, bulk_digest
from consensus.primitives.encoding import decode, encode
from consensus.primitives.integers import Credits, Digest
from consensus.records.storage import CloseDeal, OpenDeal, Stake, Unstake
from consensus.records.transactions import CancelJob, SubmitJob, Transfer
from jobs.data.manifest import PARTS, DatasetManifest
from jobs.layout import derive_layout, state_digest
from jobs.spec.canonical import parse_spec
from jobs.spec.job import JobSpec

_Transaction: TypeAlias = Transfer | CancelJob | Stake | Unstake | OpenDeal | CloseDeal
CHAIN_ID = Digest(bytes(range(32)))


def _some_state() -> bytes:
    """Zeros in the gaps between tensors, numbers in the tensors."""
    state = np.zeros(LAYOUT.total, np.float32)
    for tensor in LAYOUT.tensors:
        state[tensor.offset : tensor.offset + tensor.count] = np.arange(tensor.count)
    return state.tobytes()


LAYOUT = derive_layout({"layer.weight": (300, 250), "layer.bias": (250,)}, {"norm.mean": (250,)})
STATE = _some_state()
STATE_DIGEST = state_digest(STATE, LAYOUT).hex()
JOB_ID = "3f2a" + "0" * 60
NODE = NodeView(
    address="127.0.0.2",
    is_head=True,
    takes_miners=True,
    is_measured=True,
    memory_bytes=8_000_000_000,
    disk_bytes=80_000_000_000,
)
MINER = MinerView(
    miner="ab" * 32, name="miner-0", pid=4711, node="127.0.0.1", device="cpu", state="idle", reason="no job"
)
JOB = JobView(
    job_id=JOB_ID,
    name="digits",
    state="completed",
    round=3,
    rounds=3,
    loss=0.25,
    metrics={"accuracy": 0.97},
    state_digest=STATE_DIGEST,
)
DEAL_ID = "3f2a" + "1" * 60
DEAL = DealView(
    deal_id=DEAL_ID,
    job_id=JOB_ID,
    name="digits",
    state="open",
    root=STATE_DIGEST,
    bytes=302_000,
    scheme="2 copies",
    needed=1,
    active=1,
    pieces=(
        PieceView(piece=0, state="active", provider="ab" * 32, node="10.0.0.7", strikes=1),
        PieceView(piece=1, state="vacant"),
    ),
    escrow="0.5",
    paid="0.25",
    proofs_left=50,
    next_challenge=40,
    reason="piece 1: no provider without a piece of this deal has 302016 bytes free",
)
PROVIDER = ProviderView(
    provider="ab" * 32,
    node="10.0.0.7",
    state="keeps",
    capacity_bytes=10**9,
    used_bytes=302_016,
    stake="100",
    locked="1",
    proofs=50,
    strikes=1,
    paid="0.25",
    slashed="0",
    reason="paid for 50 proofs; 1 challenges or probes were missed and not paid",
)
STORAGE = StorageView(
    artifacts=1, providers=1, proofs_passed=50, proofs_failed=1, pieces_active=1, pieces_wanted=2, reasons=("3f2a: no",)
)
PROBE = ProbeView(deal_id=DEAL_ID, piece=0, provider="ab" * 32, served=True)
WEIGHTS = ArtifactView(kind="weights", part="", root=STATE_DIGEST, bytes=LAYOUT.bytes, binding=LAYOUT.digest.hex())
LINES = tuple(
    LogLine(time=f"12:00:0{n}", role="miner", level="info", message=f"line {n}", job=JOB_ID) for n in range(5)
)


def block(height: int) -> BlockView:
    return BlockView(
        height=height,
        hash=f"{height:064x}",
        parent=f"{height - 1:064x}",
        time_ms=1_700_000_000_000 + height,
        mechanism="pouw",
        producer="ab" * 32,
        transactions=("round-commit",),
        target="ff" * 32,
    )


@dataclass
class MemorySite:
    """Jobs go one state further each time they are looked at."""

    balances: dict[str, Credits] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, JobView] = field(default_factory=lambda: {JOB_ID: JOB})
    artifacts: dict[str, bytes] = field(default_factory=dict)
    uploads: int = 0
    desired: int = 1
    is_down: bool = False
    ends_as: str = "completed"
    failure: Exception | None = None
    """Raised by the next question."""
    state: bytes = STATE
    """What is sent as every job's weights."""
    last_state_digest: str = STATE_DIGEST
    min_audit_ppm: int = 10_000
    replay_class: str = "portable"
    specs: list[JobSpec] = field(default_factory=list)
    lines: tuple[LogLine, ...] = LINES
    ahead_ms: int = 0
    """How far blocks are ahead of where they should be in time."""
    stakes: dict[str, int] = field(default_factory=dict)
    kept: tuple[DealView, ...] = (DEAL,)
    offers: tuple[ProviderView, ...] = (PROVIDER,)
    probes: tuple[ProbeView, ...] = (PROBE,)
    drained: list[str] = field(default_factory=list)
    cut_after: int | None = None
    """So many chunks of weights are sent, then the connection is cut."""
    hangs: bool = False
    """After the first chunk of weights nothing comes any more."""
    reading_ended: threading.Event = field(default_factory=threading.Event)
    """Weights were sent, or nobody wants them any more."""
    left: tuple[ArtifactView, ...] = (WEIGHTS,)
    cut: list[tuple[str, int, int]] = field(default_factory=list)
    """Of what pieces were made, how many are needed, and how many there are."""
    offered: str = ""
    """Root of what pieces are offered of instead of what was asked for."""
    surplus: int = 0
    """So many pieces are offered beyond those that were asked for."""
    opened: list[OpenDeal] = field(default_factory=list)
    asked_for: list[tuple[int, bool]] = field(default_factory=list)
    """From which chunk on weights were asked for, and whether for the site's own copy."""

    async def status(self, job: str | None) -> SiteView:
        self._fail()
        if job is not None and job not in self.jobs:
            raise NotFoundError(f"there is no job {job}", hint="list them with: pouw jobs", code="no-job")
        for job_id in [job] if job else list(self.jobs):
            self.jobs[job_id] = self._advance(self.jobs[job_id])
        shown = tuple(view for job_id, view in self.jobs.items() if job in (None, job_id))
        return SiteView(
            cluster=ClusterView(nodes=1, miners=1, supervisors=1),
            chain=ChainTipView(height=25, tip="cd" * 32, chain_id=CHAIN_ID.hex()),
            jobs=shown,
            processes=(ProcessView(role="supervisor-0", pid=42, node="127.0.0.1", state="alive"),),
            address="http://127.0.0.1",
        )

    async def nodes(self) -> tuple[NodeView, ...]:
        return (NODE,)

    async def miners(self) -> tuple[MinerView, ...]:
        return (MINER,)

    async def scale(self, desired: int) -> ScaleView:
        self.desired = desired
        return ScaleView(desired=desired, running=1)

    async def chain_facts(self) -> ChainFacts:
        return ChainFacts(
            chain_id=CHAIN_ID.hex(),
            replay_class=self.replay_class,
            min_audit_ppm=self.min_audit_ppm,
            supervisors=("ef" * 32,),
        )

    async def account(self, address: str) -> AccountView:
        balance = self.balances.get(address, Credits(0))
        return AccountView(
            address=address,
            balance=format_credits(balance),
            stake=format_credits(Credits(self.stakes.get(address, 0))),
            sequence=self.sequences.get(address, 0),
        )

    async def blocks(self, start: int, count: int) -> tuple[BlockView, ...]:
        found = [block(height) for height in range(start, min(start + count, 26))]
        return tuple(msgspec.structs.replace(each, time_ms=each.time_ms + self.ahead_ms) for each in found)

    async def send_transaction(self, data: bytes) -> TransactionView:
        signed = decode_signed(data)
        check_signature(signed, CHAIN_ID)
        body = msgspec.msgpack.decode(signed.body, type=_Transaction)
        self._count(signed, body.sequence)
        match body:
            case Transfer():
                self._pay(signed, body.amount)
                self._give(body.recipient.hex(), body.amount)
            case Stake():
                self._pay(signed, body.amount)
                self._stake(signed, body.amount)
            case Unstake():
                self._stake(signed, -body.amount)
                self._give(signed.signer.hex(), body.amount)
            case CancelJob():
                self.jobs[body.job.hex()] = msgspec.structs.replace(self.jobs[body.job.hex()], state="cancelled")
            case OpenDeal():
                self._pay(signed, body.price * len(body.pieces) * body.proofs)
                self.opened.append(body)
            case CloseDeal():
                self.kept = tuple(
                    msgspec.structs.replace(deal, state="closed") if deal.deal_id == body.deal.hex() else deal
                    for deal in self.kept
                )
        return TransactionView(transaction=signed.digest.hex())

    async def has_artifact(self, digest: str) -> bool:
        return digest in self.artifacts

    async def put_artifact(self, digest: str, data: bytes) -> None:
        if bulk_digest(data).hex() != digest:
            raise UsageError("these bytes have another digest", code="artifact-digest")
        self.artifacts[digest] = data
        self.uploads += 1

    async def submit_job(self, submission: Submission) -> JobView:
        signed = decode_signed(submission.transaction)
        job, manifest = open_signed(signed, SubmitJob, CHAIN_ID), decode(submission.manifest, DatasetManifest)
        if job.spec != bulk_digest(submission.spec) or job.dataset != manifest.root:
            raise ConflictError("the transaction pays for another job", code="submission")
        for part in PARTS:
            for segment in manifest.part(part):
                if segment.digest.hex() not in self.artifacts:
                    raise ConflictError("a segment is missing", code="segment")
        self.specs.append(parse_spec(submission.spec))
        self._count(signed, job.sequence)
        self._pay(signed, job.reward + (job.storage.escrow if job.storage else 0))
        view = JobView(job_id=signed.digest.hex(), name=job.name, state="queued", round=0, rounds=job.rounds)
        self.jobs[view.job_id] = view
        return view

    async def weights_info(self, job: str) -> WeightsInfo:
        if job not in self.jobs:
            raise NotFoundError(f"there is no job {job}", code="no-job")
        return WeightsInfo(
            job_id=job,
            name=self.jobs[job].name,
            state_digest=self.last_state_digest,
            size_bytes=LAYOUT.bytes,
            layout=encode(LAYOUT),
        )

    async def weights(self, job: str, first: int, *, site_copy: bool) -> AsyncGenerator[bytes, None]:
        self.asked_for.append((first, site_copy))
        try:
            for number, start in enumerate(range(first * CHUNK_BYTES, len(self.state), CHUNK_BYTES)):
                if number == self.cut_after:
                    return
                yield self.state[start : start + CHUNK_BYTES]
                if self.hangs:
                    await asyncio.Event().wait()
        finally:
            self.reading_ended.set()

    async def storage(self) -> StorageView:
        return STORAGE

    async def deals(self) -> tuple[DealView, ...]:
        return self.kept

    async def providers(self) -> tuple[ProviderView, ...]:
        return self.offers

    async def job_artifacts(self, job: str) -> tuple[ArtifactView, ...]:
        if job not in self.jobs:
            raise NotFoundError(f"there is no job {job}", code="no-job")
        return self.left

    async def artifact_info(self, root: str) -> PiecesView:
        found = [each for each in self.left if each.root == root]
        if not found:
            raise NotFoundError("no such artifact")
        return PiecesView(root=root, bytes=found[0].bytes, binding=found[0].binding)

    async def make_pieces(self, root: str, data_pieces: int, total_pieces: int) -> PiecesView:
        info = await self.artifact_info(root)
        self.cut.append((root, data_pieces, total_pieces))
        total_pieces += self.surplus
        shards = tuple((f"{number:064x}", -(-info.bytes // data_pieces)) for number in range(total_pieces))
        pieces = ((root, info.bytes),) * total_pieces if data_pieces == 1 else shards
        return msgspec.structs.replace(info, root=self.offered or root, pieces=pieces)

    async def artifact(self, root: str, first: int) -> AsyncGenerator[bytes, None]:
        del root
        async for chunk in self.weights(JOB_ID, first, site_copy=False):
            yield chunk

    async def probe(self, deal: str) -> tuple[ProbeView, ...]:
        return tuple(probe for probe in self.probes if probe.deal_id.startswith(deal))

    async def drain_storage(self, node: str) -> None:
        if node not in {offer.node for offer in self.offers}:
            raise NotFoundError(f"no storage provider is on {node}", hint="those there are: 10.0.0.7")
        self.drained.append(node)

    async def logs(self, query: LogQuery, tail: int) -> tuple[LogLine, ...]:
        lines = tuple(line for line in self.lines if query.fits(line))
        return lines[len(lines) - min(tail, len(lines)) :]

    async def shutdown(self) -> None:
        self.is_down = True

    def reset(self) -> None:
        """As new."""
        self.__dict__.update(vars(MemorySite()))

    def give(self, address: str, amount: str) -> None:
        self.balances[address] = parse_credits(amount)

    def _give(self, address: str, amount: int) -> None:
        self.balances[address] = Credits(self.balances.get(address, 0) + amount)

    def _stake(self, signed: Signed, amount: int) -> None:
        address = signed.signer.hex()
        if self.stakes.get(address, 0) + amount < 0:
            raise InvalidTransactionError(Reject.STAKE, free=self.stakes.get(address, 0), amount=-amount)
        self.stakes[address] = self.stakes.get(address, 0) + amount

    def _fail(self) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure

    def _count(self, signed: Signed, sequence: int) -> None:
        address = signed.signer.hex()
        if sequence != self.sequences.get(address, 0):
            raise InvalidTransactionError(Reject.SEQUENCE, expected=self.sequences.get(address, 0), actual=sequence)
        self.sequences[address] = sequence + 1

    def _pay(self, signed: Signed, amount: int) -> None:
        balance = self.balances.get(signed.signer.hex(), 0)
        if balance < amount:
            raise InvalidTransactionError(Reject.FUNDS, balance=balance, amount=amount)
        self.balances[signed.signer.hex()] = Credits(balance - amount)

    def _advance(self, job: JobView) -> JobView:
        if job.state == "queued":
            return msgspec.structs.replace(job, state="running", round=1, loss=1.5)
        if job.state == "running":
            digest = self.last_state_digest if self.ends_as == "completed" else None
            reason = "" if self.ends_as == "completed" else "training diverged"
            return msgspec.structs.replace(
                job, state=self.ends_as, round=job.rounds, loss=0.1, state_digest=digest, reason=reason
            )
        return job
