"""One job's miner and verifier in this process, without a site: real nodes, assignments signed by a key made here."""

import hashlib
from dataclasses import dataclass

import numpy as np

from benchmarks.workloads import Workload
from cluster.genesis import site_params
from cluster.node.buffers import bytes_of
from cluster.node.miner import MinerNode
from cluster.node.ports import FlatState, JobOpening
from cluster.node.training import Segments
from cluster.node.verifier import VerifierNode
from cluster.settings import SiteSettings
from consensus.crypto.keys import SecretKey
from consensus.crypto.signing import sign
from consensus.params import ConsensusParams
from consensus.primitives.digest import sha256
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Digest, PublicKey
from consensus.records.work import Assignment
from jobs.data.manifest import PartName
from jobs.layout import Layout, state_digest
from jobs.models.build import build_model, model_layout
from jobs.program import JobProgram
from jobs.spec.canonical import spec_bytes
from jobs.training.state import initial_state

CHAIN_ID = sha256("pouw/bench-chain/1", b"local")
_INTERVAL_S = 5.0


def make_key(name: str) -> SecretKey:
    """A fixed key."""
    return SecretKey(hashlib.sha256(f"benchmark key {name}".encode()).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalJob:
    """A job that was opened, without a chain that says so."""

    workload: Workload
    opening: JobOpening
    coordinator: SecretKey

    @classmethod
    def of(cls, workload: Workload) -> "LocalJob":
        coordinator = make_key("coordinator")
        opening = JobOpening(
            job=sha256("pouw/bench-job/1", workload.spec.name.encode()),
            spec=spec_bytes(workload.spec),
            manifest=encode(workload.prepared.manifest),
            beacon=CHAIN_ID,
            coordinator=coordinator.public_key,
        )
        return cls(workload=workload, opening=opening, coordinator=coordinator)

    @property
    def params(self) -> ConsensusParams:
        """Those of a site with its usual settings."""
        return site_params(SiteSettings(block_interval_s=_INTERVAL_S))

    def segments(self, part: PartName) -> Segments:
        """The segments of one part as arrays."""
        by_digest = self.workload.prepared.segments.by_digest()
        refs = self.workload.prepared.manifest.part(part)
        return {ref.digest: np.frombuffer(by_digest[ref.digest], np.uint8) for ref in refs}

    def miner(self) -> MinerNode:
        """A miner that is ready for slots."""
        node = MinerNode(key=make_key("miner"), chain_id=CHAIN_ID, params=self.params)
        node.prepare(self.opening, self.segments("train"))
        return node

    def verifier(self) -> VerifierNode:
        """A verifier that is ready for replays."""
        node = VerifierNode()
        node.prepare(self.opening, self.segments("train"), self.segments("validation"))
        return node

    def start_state(self) -> FlatState:
        """The state before round 0."""
        spec, manifest = self.workload.spec, self.workload.prepared.manifest
        return initial_state(JobProgram(spec=spec, manifest=manifest, beacon=self.opening.beacon))

    @property
    def parameters(self) -> int:
        """Numbers of a state that are trained, the gaps between them included."""
        return self._layout.boundary

    def digest_of(self, state: FlatState) -> Digest:
        """The digest of a state of this job's network."""
        return state_digest(bytes_of(state), self._layout)

    def assignment(self, miner: PublicKey, state: Digest, round_number: int, slot: int = 0) -> bytes:
        """A signed assignment of one slot."""
        message = Assignment(job=self.opening.job, round=round_number, slot=slot, attempt=0, miner=miner, state=state)
        return encode(sign(self.coordinator, CHAIN_ID, message))

    @property
    def _layout(self) -> Layout:
        return model_layout(build_model(self.workload.spec.model, self.workload.prepared.manifest))
