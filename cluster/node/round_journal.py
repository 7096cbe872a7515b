"""The states of rounds that are not settled yet, in files: a coordinator that was killed need not train them again.

Audits may still ask for what each of these rounds started from. Without the journal a new coordinator has to go back to
the last settled checkpoint and run every round since. The files are written without waiting for the disk: they outlive
the process, not the machine, and those of another boot are not read. A state is used only if it has the digest that it
was saved under. Where saving costs too much of a round, the journal is off.
"""

import asyncio
import logging
import re
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import psutil

from cluster.node.buffers import bytes_of
from cluster.node.ports import Checkpoint, FlatState
from consensus.primitives.integers import Digest

_STATE: Final = re.compile(r"(\d+)-([0-9a-f]{64})\.state")
_LONGEST_SHARE: Final = 0.04
"""Of a round's time that saving may take of one core. It runs beside the training of the next round."""
_JUDGED: Final = 5
"""The quickest of so many latest savings is what one costs: the first ones touch new memory."""
OPTIMIZERS: Final = 4
"""So many latest rounds can be resumed from: some may not have been committed."""

_log = logging.getLogger("pouw.coordinator")


class RoundJournal(Protocol):
    """Keeps what unsettled rounds start from, on this machine."""

    def save(self, checkpoint: Checkpoint, digest: Digest, round_s: float) -> None:
        """Keep what `checkpoint.round` starts from. A round takes `round_s`; 0 if unknown. A full disk is no error."""
        ...

    def rounds(self) -> dict[int, Digest]:
        """The rounds whose state is kept, with its digest."""
        ...

    def has_optimizer(self, number: int) -> bool:
        """Whether the outer optimizer's state is still kept, too: then the round can be resumed from."""
        ...

    def load_state(self, number: int) -> FlatState:
        """A state, as it was saved. Raises OSError."""
        ...

    def load_optimizer(self, number: int) -> FlatState:
        """The outer optimizer's state. Raises OSError."""
        ...

    def keep(self, first: int, last: int) -> None:
        """Forget every round outside `first..last`."""
        ...


class JournalWriter:
    """Writes to a journal beside the training of the next round."""

    def __init__(self, journal: RoundJournal | None) -> None:
        self.journal = journal
        self._writing: asyncio.Task[None] | None = None

    def begin(self, checkpoint: Checkpoint, digest: Digest, settled_round: int, round_s: float = 0.0) -> None:
        """Begin to write a state, which must not change before `finish`; forget those of settled rounds."""
        if self.journal is not None:
            writing = asyncio.to_thread(_write, self.journal, checkpoint, digest, settled_round, round_s)
            self._writing = asyncio.create_task(writing)

    async def finish(self) -> None:
        """Wait until what was begun is written."""
        if self._writing is not None:
            await self._writing
            self._writing = None


def _write(journal: RoundJournal, checkpoint: Checkpoint, digest: Digest, settled_round: int, round_s: float) -> None:
    journal.save(checkpoint, digest, round_s)
    journal.keep(settled_round, checkpoint.round)


@dataclass(slots=True)
class FileJournal:
    """A RoundJournal in a folder that only this job's coordinator uses."""

    folder: Path
    boot: float = field(default_factory=psutil.boot_time)
    is_on: bool = True
    _costs_s: deque[float] = field(default_factory=lambda: deque(maxlen=_JUDGED))

    def __post_init__(self) -> None:
        marker = self.folder / "boot"
        if not marker.exists() or marker.read_text() != str(self.boot):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(mode=0o700, parents=True)
            marker.write_text(str(self.boot))

    def save(self, checkpoint: Checkpoint, digest: Digest, round_s: float) -> None:
        if not self.is_on:
            return
        started_s = time.thread_time()  # on a busy machine the time that passes says nothing
        try:
            self._write(self._optimizer(checkpoint.round), checkpoint.optimizer)
            self._write(self._state(checkpoint.round, digest), checkpoint.state)
            self._optimizer(checkpoint.round - OPTIMIZERS).unlink(missing_ok=True)
        except OSError as error:
            _log.warning("unsettled rounds are not kept on disk: %s", error)
            self._turn_off()
            return
        self._costs_s.append(time.thread_time() - started_s)
        if round_s and len(self._costs_s) == _JUDGED and min(self._costs_s) > _LONGEST_SHARE * round_s:
            self._turn_off()

    def _turn_off(self) -> None:
        self.is_on = False
        self._forget(lambda _number: True)

    def rounds(self) -> dict[int, Digest]:
        found = (_STATE.fullmatch(path.name) for path in self.folder.iterdir())
        return {int(match[1]): Digest(bytes.fromhex(match[2])) for match in found if match}

    def has_optimizer(self, number: int) -> bool:
        return self._optimizer(number).exists()

    def load_state(self, number: int) -> FlatState:
        return np.fromfile(self._state(number, self.rounds()[number]), dtype=np.float32)

    def load_optimizer(self, number: int) -> FlatState:
        return np.fromfile(self._optimizer(number), dtype=np.float32)

    def keep(self, first: int, last: int) -> None:
        self._forget(lambda number: not first <= number <= last)

    def _forget(self, is_unwanted: Callable[[int], bool]) -> None:
        for path in self.folder.iterdir():
            number, _, rest = path.name.partition("-" if path.suffix == ".state" else ".")
            if rest and number.isdigit() and is_unwanted(int(number)):
                path.unlink(missing_ok=True)

    def _state(self, number: int, digest: Digest) -> Path:
        return self.folder / f"{number}-{digest.hex()}.state"

    def _optimizer(self, number: int) -> Path:
        return self.folder / f"{number}.optimizer"

    def _write(self, path: Path, array: FlatState) -> None:
        unfinished = self.folder / "unfinished"
        with unfinished.open("wb") as file:
            file.write(bytes_of(array))
        unfinished.replace(path)
