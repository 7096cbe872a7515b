"""The verifier as a Ray actor. It runs at the lowest priority: audits take the time that training leaves over."""

import os
from pathlib import Path
from typing import Any, Final

import ray

from cluster.actors.loading import lasting
from cluster.actors.vigil import Heart
from cluster.config import HomeLayout
from cluster.logs import configure_logging
from cluster.node.ports import FlatState, JobOpening
from cluster.node.training import Segments
from cluster.wallet.keystore import site_keystore
from consensus.primitives.integers import Digest
from consensus.records.work import Metric, SlotReport
from consensus.replay.verdict import Verdict
from jobs.data.manifest import PartName
from jobs.machine import MachineClass, describe_machine

_NICE: Final = 19


class Verifier:
    """Replays slots and measures states, one request at a time."""

    OPTIONS: Final[dict[str, Any]] = {"num_cpus": 0, "max_restarts": -1, "concurrency_groups": {"control": 1}}

    def __init__(self, *, home: str, name: str, chain_id: bytes) -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with lasting():
            from cluster.node.verifier import VerifierNode  # loads torch: here, not where the actor is started from

        layout = HomeLayout(root=Path(home))
        configure_logging(layout, name)
        self._heart = Heart(site_keystore(layout).load_or_create(name), Digest(chain_id), name)
        self._node = VerifierNode()

    def machine(self, replay_class: str) -> MachineClass:
        """What a node has to have in common with this verifier, so that it can replay what is done there."""
        return describe_machine(replay_class)

    def is_prepared(self, job: bytes) -> bool:
        """Whether a job can be asked about."""
        return self._node.is_prepared(Digest(job))

    def prepare(self, opening: JobOpening, train: Segments, validation: Segments) -> None:
        """Get ready for a job."""
        self._node.prepare(opening, train, validation)

    def replay_class(self, job: bytes) -> bytes:
        """The class in which this verifier replays a job."""
        return self._node.replay_class(Digest(job))

    def replay(self, report: SlotReport, state: FlatState) -> Verdict:
        """Run a slot again."""
        return self._node.replay(report, state)

    def open_test(self, job: bytes, segments: Segments) -> None:
        """The withheld part was released."""
        self._node.open_test(Digest(job), segments)

    def evaluate(self, job: bytes, part: PartName, state: FlatState) -> tuple[Metric, ...]:
        """Measure a state."""
        return self._node.evaluate(Digest(job), part, state)

    def forget(self, job: bytes) -> None:
        """A job is over."""
        self._node.forget(Digest(job))

    @ray.method(concurrency_group="control")
    def beat(self, watch: bytes, question: int) -> bytes:
        """A signed word that this process answers."""
        return self._heart.beat(watch, question)

    @ray.method(concurrency_group="control")
    def pid(self) -> int:
        """The id of this process."""
        return os.getpid()
