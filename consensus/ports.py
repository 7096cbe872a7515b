"""What the rules need from outside, as Protocols. Adapters live in storage/ and jobs/; cluster/wiring.py joins them."""

from collections.abc import Sequence
from typing import Protocol

from consensus.crypto.signing import Signed
from consensus.primitives.integers import Digest, Height, PublicKey
from consensus.records.block import Block, Certificate
from consensus.records.work import Metric, SlotReport
from consensus.replay.verdict import Verdict


class BlockStore(Protocol):
    """Final blocks by height. Leaves out candidates: there are no forks to keep."""

    def tip_height(self) -> Height: ...

    def load_block(self, height: Height) -> Block: ...

    def load_certificate(self, height: Height) -> Certificate: ...


class WorkLog(Protocol):
    """What is known of committed rounds, on chain or waiting to be. Leaves out the updates themselves."""

    def commitments(self, job: Digest, round_number: int, miner: PublicKey) -> frozenset[Digest | None]:
        """The report of the miner's first slot in each commit of a round; None for a commit that has no slot of it.

        A round that was run again has several commits; one that is not known has none.
        """
        ...

    def is_start_state(self, job: Digest, round_number: int, state: Digest) -> bool:
        """Whether the job's committed rounds say that this round starts from `state`."""
        ...


class Replayer(Protocol):
    """Runs a slot again. Leaves out where the state comes from: it is handed the bytes."""

    def replay(self, state: memoryview, report: SlotReport) -> Verdict: ...


class Evaluator(Protocol):
    """Measures a state on one part of the dataset (`validation` or `test`)."""

    def evaluate(self, state: memoryview, part: str) -> Sequence[Metric]: ...


class ArtifactSource(Protocol):
    """Content-addressed bytes. What it returns has been checked against `root`."""

    def load_artifact(self, root: Digest) -> bytes: ...


class SignedReports(Protocol):
    """Signed slot reports by digest, kept so that an audit can be repeated."""

    def load_report(self, digest: Digest) -> Signed: ...
