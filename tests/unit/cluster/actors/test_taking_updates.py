"""How the coordinator's actor takes updates in: from shared memory, or sent; what a miner may say about either."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from cluster.actors.coordinator import RayPorts
from cluster.control.slots import MinerId
from cluster.node.ports import FlatState, SlotReply, StateHandle
from cluster.node.shared_updates import UpdateLostError, UpdateMemory, UpdatePlace, read_board
from cluster.node.update_reader import UpdateReader

ANNA = MinerId(b"anna")
STATE = np.zeros(100, dtype=np.float32)


@dataclass
class Answers:
    """A miner's handle: what it was told each time, and what it says."""

    answer: Callable[[int | None], FlatState | UpdatePlace]
    told: list[int | None] = field(default_factory=list)

    @property
    def run_slot(self) -> "Answers":
        return self

    async def remote(self, _assignment: bytes, _state: object, taken: int | None) -> tuple[bytes, object]:
        self.told.append(taken)
        return b"report", self.answer(taken)


def in_memory(memory: UpdateMemory, taken: int | None) -> UpdatePlace:
    assert taken is not None
    with memory.lend(STATE.size, taken) as buffer:
        buffer.array[:] = memory.latest
    return buffer.place


def take_on(handle: Answers, latest: int | None, *, update_bytes: int = 2**24) -> RayPorts:
    ports = RayPorts(job=b"job", layout=b"layout", updates=UpdateReader(update_bytes))
    ports.take_on(ANNA, handle, None if latest is None else (latest, proof(ports)))
    return ports


def proof(ports: RayPorts) -> bytes:
    return read_board(ports.updates.board.place)


def run_slot(ports: RayPorts) -> SlotReply:
    return asyncio.run(ports.run_slot(ANNA, b"assignment", StateHandle(STATE)))


def test_each_assignment_names_the_latest_update_that_was_read() -> None:
    memory = UpdateMemory()
    anna = Answers(lambda taken: in_memory(memory, taken))
    ports = take_on(anna, latest=0)
    for number in (1, 2, 3):
        assert (run_slot(ports).update == number).all()
    assert anna.told == [0, 1, 2]


def test_a_miner_of_another_node_sends_its_updates() -> None:
    anna = Answers(lambda _taken: STATE)
    ports = take_on(anna, latest=None)
    assert run_slot(ports).update is STATE
    assert anna.told == [None]


def test_a_miner_whose_memory_cannot_be_read_is_asked_to_send_until_it_joins_again() -> None:
    memory = UpdateMemory()

    def nowhere(taken: int | None) -> FlatState | UpdatePlace:
        return STATE if taken is None else UpdatePlace(pid=os.getpid(), descriptor=10**9, number=taken + 1)

    anna = Answers(nowhere)
    ports = take_on(anna, latest=4)
    with pytest.raises(UpdateLostError):
        run_slot(ports)
    assert run_slot(ports).update is STATE
    anna.answer = lambda taken: in_memory(memory, taken)
    ports.take_on(ANNA, anna, (0, proof(ports)))
    assert (run_slot(ports).update == 1).all()
    assert anna.told == [4, None, 0]


def test_an_update_that_is_lost_changes_nothing_for_the_next() -> None:
    memory = UpdateMemory()

    def late(taken: int | None) -> UpdatePlace:
        place = in_memory(memory, taken)
        return msgspec.structs.replace(place, number=place.number - 1) if memory.latest == 1 else place

    anna = Answers(late)
    ports = take_on(anna, latest=0)
    with pytest.raises(UpdateLostError):
        run_slot(ports)
    assert (run_slot(ports).update == 2).all()
    assert anna.told == [0, 0]


def test_a_miner_that_was_not_asked_to_cannot_name_memory() -> None:
    memory = UpdateMemory()
    ports = take_on(Answers(lambda _taken: in_memory(memory, 0)), latest=None)
    with pytest.raises(UpdateLostError, match="not asked"):
        run_slot(ports)


def test_a_miner_that_cannot_tell_what_is_on_the_board_shares_nothing() -> None:
    anna = Answers(lambda _taken: STATE)
    ports = take_on(anna, latest=None)
    ports.take_on(ANNA, anna, (0, bytes(len(proof(ports)))))
    run_slot(ports)
    assert anna.told == [None]


def test_every_board_says_something_else() -> None:
    boards = {proof(take_on(Answers(lambda _taken: STATE), None)) for _ in range(4)}
    assert {len(board) for board in boards} == {32}
    assert len(boards) == 4


def test_small_updates_are_sent() -> None:
    anna = Answers(lambda _taken: STATE)
    run_slot(take_on(anna, latest=0, update_bytes=2**20))
    assert anna.told == [None]


def test_only_so_many_updates_are_held_in_shared_memory() -> None:
    memory = UpdateMemory()
    anna = Answers(lambda taken: STATE if taken is None else in_memory(memory, taken))
    ports = take_on(anna, latest=0)
    held = [run_slot(ports).update for _ in range(130)]
    assert anna.told[-3:] == [127, None, None]
    held.clear()
    run_slot(ports)
    assert anna.told[-1] == 128
