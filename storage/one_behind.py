"""One task runs in another thread while the caller prepares the next: hashing and waiting for the disk overlap.

No more than one is under way, so memory stays bounded, and an error comes up at the caller's next step.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class OneBehind:
    """Runs tasks one after the other. The thread is started with the first task and ended with the `with` block."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the last task; its error does not replace one that is on its way."""
        try:
            if kind is None:
                self.wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown(wait=True)

    def submit(self, task: Callable[[], None]) -> None:
        """Start a task when the one before has ended. Raises what that one raised."""
        self.wait()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="one-behind")
        self._running = self._thread.submit(task)

    def wait(self) -> None:
        """Wait for the task under way. Raises what it raised."""
        running, self._running = self._running, None
        if running is not None:
            running.result()
