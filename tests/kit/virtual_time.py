"""An event loop whose clock jumps to the next timer as soon as nothing else can happen. Nobody waits for real."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


class _InstantSelector(selectors.DefaultSelector):
    """Tells the loop's clock how long it would have waited instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise RuntimeError("everything waits and no timer is set: a deadlock")
            self.now_s += timeout
        return found


class _InlineExecutor(ThreadPoolExecutor):
    """Runs what is handed in at once, so that no time can pass meanwhile."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - goes to whoever waits
            future.set_exception(error)
        return future


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._instant = _InstantSelector()
        super().__init__(self._instant)
        self.set_default_executor(_InlineExecutor(max_workers=1))

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as inherited
        """There are no threads to wait for."""

    def time(self) -> float:
        return self._instant.now_s


def run_virtual(main: Coroutine[Any, Any, Result], limit_s: float = 10_000.0) -> Result:
    """Run to the end; raises TimeoutError if that takes more than `limit_s` of virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, limit_s))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
