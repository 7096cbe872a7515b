"""Handing in committed rounds, in order and without holding up the next round."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final

from cluster.node.ports import CoordinatorPorts, JobProgress
from consensus.errors import RejectedError

_QUEUED: Final = 64
"""Rounds that may wait to be handed in before training waits for them."""

_log = logging.getLogger("pouw.coordinator")


class CommitQueue:
    """Sends round commits one after the other. After a refusal it drops what is queued: the chain has gone back.

    Any other error (a full disk) ends it, and every method that needs it raises that error from then on.
    """

    def __init__(self, ports: CoordinatorPorts) -> None:
        self._ports = ports
        self._queue: asyncio.Queue[tuple[bytes, tuple[bytes, ...]]] = asyncio.Queue(_QUEUED)
        self._task: asyncio.Task[None] | None = None
        self.progress = JobProgress()
        self.refused: RejectedError | None = None

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._send())

    @property
    def is_full(self) -> bool:
        """Whether the next round has to wait before it can be queued."""
        return self._queue.full()

    async def put(self, commit: bytes, reports: tuple[bytes, ...]) -> None:
        """Queue one round; waits while too many are queued, and otherwise lets nobody else run."""
        if self._queue.full():
            await self._with_sender(self._queue.put((commit, reports)))
        else:
            self.check()
            self._queue.put_nowait((commit, reports))

    def check(self) -> None:
        """Raises what ended the sending task, if something did."""
        if self._task is not None and self._task.done():
            self._task.result()

    async def drain(self) -> None:
        """Wait until all that was queued is durable (or refused), then forget a refusal."""
        await self._with_sender(self._queue.join())
        self.refused = None

    async def stop(self) -> None:
        """End the sending task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _with_sender(self, waiting: Coroutine[None, None, None]) -> None:
        """Wait for something that may need the sending task to go on; raises what ended that, if it ends first."""
        waiter = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait({waiter} | ({self._task} if self._task else set()), return_when=asyncio.FIRST_COMPLETED)
            self.check()
            await waiter
        finally:
            waiter.cancel()

    async def _send(self) -> None:
        while True:
            commit, reports = await self._queue.get()
            await asyncio.sleep(0)  # the slots of the next round are handed out first
            try:
                if self.refused is None:
                    self.progress = await self._ports.commit_round(commit, reports)
            except RejectedError as error:
                _log.warning("a round commit was refused, going back: %s", error)
                self.refused = error
            finally:
                self._queue.task_done()
