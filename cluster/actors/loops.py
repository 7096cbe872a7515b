"""Loops that an actor cannot do without. When one ends, its process ends too, and Ray starts the actor again.

An actor whose loop has died would go on answering, and so be taken for one that does its work.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("pouw.actor")


def run_always(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run a loop for as long as the process lives. To cancel it is no failure."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_end_process)
    return task


def _end_process(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    _log.critical(
        "the loop %r ended: so does the process, to be started again", task.get_name(), exc_info=task.exception()
    )
    os._exit(1)
