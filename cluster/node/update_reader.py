"""The coordinator's side of updates in shared memory: whom it asks for them, and what it reads (ADR 20)."""

import weakref
from typing import Final

from cluster.control.slots import MinerId
from cluster.node.ports import FlatState
from cluster.node.shared_updates import Board, NoSharedMemoryError, UpdatePlace, read_update
from cluster.node.slot_calls import SMALL_BYTES

_MOST_MAPPED: Final = 128
"""Updates in shared memory at once: each takes a file descriptor here and two at its miner."""


class UpdateReader:
    """Reads updates of `update_bytes` each."""

    def __init__(self, update_bytes: int) -> None:
        self._is_large = update_bytes > SMALL_BYTES
        self._taken: dict[MinerId, int] = {}
        self._mapped: list[weakref.ref[FlatState]] = []
        self.board = Board()

    def take_on(self, miner: MinerId, shared: tuple[int, bytes] | None) -> bool:
        """Whether a miner can share memory. `shared`: the number of its latest update there, and its proof."""
        self._taken.pop(miner, None)
        if shared is not None and self.board.says(shared[1]):
            self._taken[miner] = shared[0]
        return miner in self._taken

    def latest_of(self, miner: MinerId) -> int | None:
        """The number of the latest update that was read of a miner; None if it is to send the next one."""
        self._mapped = [update for update in self._mapped if update() is not None]
        return self._taken.get(miner) if self._is_large and len(self._mapped) < _MOST_MAPPED else None

    def read(self, miner: MinerId, place: UpdatePlace) -> FlatState:
        """Raises UpdateLostError. If there is no such memory the miner is to send its updates from then on."""
        try:
            update = read_update(place)
        except NoSharedMemoryError:
            self._taken.pop(miner, None)
            raise
        self._mapped.append(weakref.ref(update))
        if miner in self._taken:
            self._taken[miner] = max(place.number, self._taken[miner])
        return update
