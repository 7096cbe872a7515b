"""Handing in committed rounds, in order and without holding up the next round."""

import asyncio
import logging
from typing import Final

from cluster.node.ports import CoordinatorPorts, JobProgress
from consensus.errors import RejectedError

_QUEUED: Final = 64
"""Rounds that may wait to be handed in before training waits for them."""

_log = logging.getLogger("pouw.coordinator")


class CommitQueue:
    """Sends round commits one after the other. After a refusal it drops what is queued: the chain has gone back."""

    def __init__(self, ports: CoordinatorPorts) -> None:
        self._ports = ports
        self._queue: asyncio.Queue[tuple[bytes, tuple[bytes, ...]]] = asyncio.Queue(_QUEUED)
        self._task: asyncio.Task[None] | None = None
        self.progress = JobProgress()
        self.refused: RejectedError | None = None

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._send())

    async def put(self, commit: bytes, reports: tuple[bytes, ...]) -> None:
        """Queue one round; waits while too many are queued."""
        await self._queue.put((commit, reports))

    async def drain(self) -> None:
        """Wait until all that was queued is durable (or refused), then forget a refusal."""
        await self._queue.join()
        self.refused = None

    async def stop(self) -> None:
        """End the sending task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        while True:
            commit, reports = await self._queue.get()
            try:
                if self.refused is None:
                    self.progress = await self._ports.commit_round(commit, reports)
            except RejectedError as error:
                _log.warning("a round commit was refused, going back: %s", error)
                self.refused = error
            finally:
                self._queue.task_done()
