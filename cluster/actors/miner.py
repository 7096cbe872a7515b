"""The miner as a Ray actor: forwards slots to MinerNode, fetches block templates, sends in the blocks it finds."""

import logging
import os
import threading
import time
from typing import Any, Final

import ray

from cluster.actors.loading import lasting
from cluster.actors.names import SUPERVISOR
from cluster.actors.nodes import own_address, own_node
from cluster.actors.remote import cause_of, find_actor
from cluster.actors.vigil import Heart
from cluster.config import home_from_environment
from cluster.logs import configure_logging
from cluster.node.ports import FlatState, JobOpening, SlotReply
from cluster.node.shared_updates import UpdateLostError, UpdateMemory, UpdatePlace, read_board
from cluster.node.training import Segments
from cluster.wallet.keystore import site_keystore
from consensus.params import ConsensusParams
from consensus.primitives.integers import Digest

_RETRY_S: Final = 1.0
_ANSWER_S: Final = 5.0

_log = logging.getLogger("pouw.miner")


class Miner:
    """One miner. A dead one is not restarted by Ray: it rejoins under its name and key."""

    OPTIONS: Final[dict[str, Any]] = {"num_cpus": 1, "max_restarts": 0, "concurrency_groups": {"control": 2}}

    def __init__(self, *, name: str, chain_id: bytes, params: ConsensusParams) -> None:
        with lasting():
            from cluster.node.miner import MinerNode  # loads torch: here, not where the actor is started from

        layout = home_from_environment()  # of this node: its key is made and stays here
        configure_logging(layout, name)
        key = site_keystore(layout).load_or_create(name)
        self._node = MinerNode(key=key, chain_id=Digest(chain_id), params=params)
        self._name = name
        self._heart = Heart(key, Digest(chain_id), name)
        self._updates = UpdateMemory()
        threading.Thread(target=self._fetch_templates, name="templates", daemon=True).start()

    def prepare(
        self, opening: JobOpening, segments: Segments, node: str, board: UpdatePlace
    ) -> tuple[int, bytes] | None:
        """Get ready for a job's slots.

        To a coordinator on this node, if they can share memory: the number of the latest update there, and what is
        written on the coordinator's board, as a proof. Else None.
        """
        if not self._node.is_prepared(opening):
            self._node.prepare(opening, segments)
            _log.info("ready", extra={"job": opening.job.hex()})
        latest = self._updates.forget_replies()
        if node != own_node():
            return None
        try:
            return latest, read_board(board)
        except UpdateLostError as error:
            _log.warning("updates are sent, memory cannot be shared: %s", error, extra={"job": opening.job.hex()})
            return None

    def run_slot(self, assignment: bytes, state: FlatState, taken: int | None) -> tuple[bytes, FlatState | UpdatePlace]:
        """Run a slot: the signed report, and the update it names.

        `taken`: the number of the latest update that was read in shared memory. None: send this one.
        """
        if taken is None:
            reply = self._run_slot(assignment, state, None)
            return reply.report, reply.update
        with self._updates.lend(state.size, taken) as buffer:
            reply = self._run_slot(assignment, state, buffer.array)
        return reply.report, buffer.place

    def _run_slot(self, assignment: bytes, state: FlatState, update_out: FlatState | None) -> SlotReply:
        reply, block = self._node.run_slot(assignment, state, update_out=update_out)
        if block is not None:
            threading.Thread(target=self._offer, args=(block,), daemon=True).start()
        return reply

    @ray.method(concurrency_group="control")
    def hello(self) -> tuple[bytes, int, str, int]:
        """Public key, process id and node of this miner, and how many slots this process ran."""
        return self._node.public_key, os.getpid(), own_address(), self._node.slots_run

    @ray.method(concurrency_group="control")
    def beat(self, watch: bytes, question: int) -> bytes:
        """A signed word that this process answers, and how many slots it ran."""
        return self._heart.beat(watch, question, self._node.slots_run)

    def _fetch_templates(self) -> None:
        held = b""  # the block that the present template stands on
        while True:
            supervisor = find_actor(SUPERVISOR)
            if supervisor is None:
                time.sleep(_RETRY_S)
                continue
            try:
                template = ray.get(supervisor.template.remote(self._node.public_key, held), timeout=_ANSWER_S)
            except ray.exceptions.RayError as error:
                _log.warning("no template: %s", cause_of(error))
                time.sleep(_RETRY_S)
                continue
            if template is None:  # an excluded miner has none
                time.sleep(_RETRY_S)
                continue
            held = template.header.parent
            self._node.offer_template(template)
            self._updates.give_back_if_idle()

    def _offer(self, block: bytes) -> None:
        supervisor = find_actor(SUPERVISOR)
        if supervisor is None:
            return
        try:
            block_hash = ray.get(supervisor.offer_block.remote(block))
        except ray.exceptions.RayError as error:
            _log.warning("the block was not accepted: %s", cause_of(error))
        else:
            _log.info("block %s was accepted", block_hash[:16])
