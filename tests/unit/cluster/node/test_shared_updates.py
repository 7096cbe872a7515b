"""Updates in memory that a miner shares with its coordinator: read in place, never overwritten while they are read."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.node.ports import FlatState
from cluster.node.shared_updates import NoSharedMemoryError, UpdateLostError, UpdateMemory, UpdatePlace, read_update

_MINER = """
import sys
from cluster.node.shared_updates import UpdateMemory
with (memory := UpdateMemory()).lend(1000, 0) as buffer:
    buffer.array[:] = 7
print(buffer.place.pid, buffer.place.descriptor, buffer.place.number, flush=True)
sys.stdin.read()
"""


def write(memory: UpdateMemory, value: float, *, numbers: int = 1000, taken: int = 0) -> UpdatePlace:
    with memory.lend(numbers, taken) as buffer:
        buffer.array[:] = value
    return buffer.place


@contextmanager
def other_miner() -> Iterator[tuple["subprocess.Popen[str]", UpdatePlace]]:
    """A process that has written an update of sevens."""
    with subprocess.Popen(
        [sys.executable, "-c", _MINER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as p:
        assert p.stdout is not None
        pid, descriptor, number = map(int, p.stdout.readline().split())
        try:
            yield p, UpdatePlace(pid=pid, descriptor=descriptor, number=number)
        finally:
            p.kill()


def memory_at(place: UpdatePlace) -> int:
    """What tells this memory from other memory, though its descriptor's number be used again."""
    return Path(f"/proc/self/fd/{place.descriptor}").stat().st_ino


def memory_there() -> set[int]:
    """All memory for updates that this process has."""
    found = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return {path.stat().st_ino for path in found if str(path.readlink()).startswith("/memfd:pouw-update")}


def test_what_a_miner_writes_can_be_read_aligned_and_not_written() -> None:
    memory = UpdateMemory()
    update = read_update(write(memory, 3.5, numbers=12345))
    assert update.shape == (12345,)
    assert update.dtype == np.float32
    assert (update == 3.5).all()
    assert update.ctypes.data % 64 == 0
    assert not update.flags.writeable


def test_an_update_of_another_process_is_read_in_its_memory() -> None:
    with other_miner() as (_, place):
        assert (read_update(place) == 7).all()


def test_an_update_that_is_being_read_outlives_its_miner() -> None:
    with other_miner() as (process, place):
        update = read_update(place)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (update == 7).all()


def test_an_update_of_a_miner_that_has_ended_is_lost() -> None:
    with other_miner() as (process, place):
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(NoSharedMemoryError, match=str(place.pid)):
            read_update(place)


def test_a_stopped_miner_s_update_can_be_read() -> None:
    with other_miner() as (process, place):
        process.send_signal(signal.SIGSTOP)
        assert (read_update(place) == 7).all()


def test_memory_that_was_read_is_used_again() -> None:
    memory = UpdateMemory()
    places = []
    for number in range(5):
        place = write(memory, number, taken=memory.latest)
        assert (read_update(place) == number).all()
        places.append(place.descriptor)
    assert len(set(places)) == 1


def test_memory_that_is_being_read_is_left_alone() -> None:
    memory = UpdateMemory()
    first = write(memory, 1)
    held = read_update(first)
    second = write(memory, 2, taken=memory.latest)
    assert second.descriptor != first.descriptor
    assert (held == 1).all()
    del held
    assert write(memory, 3, taken=memory.latest).descriptor in (first.descriptor, second.descriptor)


def test_memory_with_an_update_on_its_way_is_left_alone() -> None:
    memory = UpdateMemory()
    first = write(memory, 1)
    write(memory, 2, taken=0)
    assert (read_update(first) == 1).all()


def test_who_comes_too_late_is_told() -> None:
    memory = UpdateMemory()
    late = write(memory, 1)
    write(memory, 2, taken=memory.latest)
    with pytest.raises(UpdateLostError, match="of reply 2, not 1"):
        read_update(late)


def test_who_comes_while_another_update_is_written_is_told() -> None:
    memory = UpdateMemory()
    late = write(memory, 1)
    with memory.lend(1000, memory.latest), pytest.raises(UpdateLostError, match="is being written"):
        read_update(late)


def test_memory_of_a_slot_that_failed_is_free_at_once() -> None:
    memory = UpdateMemory()
    with pytest.raises(ZeroDivisionError), memory.lend(1000, 0) as failed:
        raise ZeroDivisionError
    assert write(memory, 1, taken=0).descriptor == failed.place.descriptor


def test_memory_of_another_size_is_given_back() -> None:
    memory = UpdateMemory()
    small = memory_at(write(memory, 1, numbers=10))
    assert read_update(write(memory, 2, numbers=20, taken=memory.latest)).size == 20
    assert small not in memory_there()


def test_memory_that_is_not_needed_any_more_is_given_back_after_a_while() -> None:
    memory = UpdateMemory()
    places = [write(memory, 1, taken=0) for _ in range(5)]
    most = {memory_at(place) for place in places}
    assert len(most) == 5
    for _ in range(30):
        last = write(memory, 2, taken=memory.latest)
    assert memory_there() & most == {memory_at(last)}


def test_as_much_memory_stays_as_each_round_needs() -> None:
    memory = UpdateMemory()
    descriptors = set()
    for _ in range(10):
        held = []
        for _ in range(4):
            place = write(memory, 1, taken=memory.latest)
            held.append(read_update(place))
            descriptors.add(place.descriptor)
        held.clear()
    assert len(descriptors) == 4


def test_an_idle_miner_gives_its_memory_back() -> None:
    memory = UpdateMemory()
    free, held, _ = [write(memory, number) for number in (1, 2, 3)]
    update = read_update(held)
    on_its_way = write(memory, 4, taken=memory.latest)
    three = {memory_at(free), memory_at(held), memory_at(on_its_way)}
    assert len(three) == 3
    memory.give_back_if_idle()
    assert memory_there() >= three
    unneeded = memory_at(free)
    memory.give_back_if_idle()
    assert memory_there() & three == three - {unneeded}
    assert (update == 2).all()
    assert (read_update(on_its_way) == 4).all()


def test_memory_that_is_lent_is_not_given_back() -> None:
    memory = UpdateMemory()
    with memory.lend(1000, 0) as buffer:
        for _ in range(3):
            memory.give_back_if_idle()
        buffer.array[:] = 1
    assert (read_update(buffer.place) == 1).all()


def test_memory_with_an_update_on_its_way_is_not_given_back() -> None:
    memory = UpdateMemory()
    place = write(memory, 1)
    for _ in range(3):
        memory.give_back_if_idle()
    assert (read_update(place) == 1).all()


def test_for_another_coordinator_nothing_is_on_its_way() -> None:
    memory = UpdateMemory()
    place = write(memory, 1)
    before = memory_at(place)
    assert memory.forget_replies() == place.number
    assert before not in memory_there()


def test_memory_of_another_size_stays_while_it_is_read() -> None:
    memory = UpdateMemory()
    held = read_update(write(memory, 1, numbers=10))
    write(memory, 2, numbers=20, taken=memory.latest)
    assert (held == 1).all()


def _pipe(_folder: Path) -> int:
    return os.pipe()[0]


def _file(folder: Path) -> int:
    path = folder / "update"
    path.write_bytes(bytes(8192))
    return os.open(path, os.O_RDWR)


def _memory(size: int, seals: int, *, name: str = "pouw-update") -> int:
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _could_shrink(_folder: Path) -> int:
    return _memory(8192, fcntl.F_SEAL_GROW)


def _could_grow(_folder: Path) -> int:
    return _memory(8192, fcntl.F_SEAL_SHRINK)


def _of_another_name(_folder: Path) -> int:
    return _memory(8192, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW, name="else")


def _empty(_folder: Path) -> int:
    return _memory(0, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)


def _no_numbers(_folder: Path) -> int:
    return _memory(4099, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)


@pytest.mark.parametrize("make", [_pipe, _file, _could_shrink, _could_grow, _of_another_name, _empty, _no_numbers])
def test_what_is_no_memory_for_updates_is_refused(make: Callable[[Path], int], tmp_path: Path) -> None:
    descriptor = make(tmp_path)
    with pytest.raises(NoSharedMemoryError):
        read_update(UpdatePlace(pid=os.getpid(), descriptor=descriptor, number=0))
    os.close(descriptor)


@pytest.mark.parametrize("descriptor", [-1, 10**9])
def test_a_place_that_is_none_is_refused(descriptor: int) -> None:
    with pytest.raises(NoSharedMemoryError):
        read_update(UpdatePlace(pid=os.getpid(), descriptor=descriptor, number=1))


@given(st.lists(st.tuples(st.sampled_from(["run", "take", "overtake", "lose", "drop", "idle"]), st.integers(0, 5))))
def test_in_any_order_nobody_reads_another_update_than_the_one_that_was_named(turns: list[tuple[str, int]]) -> None:
    memory, taken = UpdateMemory(), 0
    under_way: list[UpdatePlace] = []
    held: list[tuple[int, FlatState]] = []
    for turn, which in turns:
        if turn == "run":
            place = write(memory, memory.latest + 1, numbers=16, taken=taken)
            assert place.number == memory.latest
            under_way.append(place)
        elif turn == "take" and under_way:
            place = under_way.pop(0)
            if place.number > taken:  # none was taken before it that came after it
                held.append((place.number, read_update(place)))
                taken = place.number
        elif turn == "overtake" and under_way:
            place = under_way.pop(which % len(under_way))
            with suppress(UpdateLostError):
                held.append((place.number, read_update(place)))
                taken = max(taken, place.number)
        elif turn == "idle":
            memory.give_back_if_idle()
        elif turn == "lose" and under_way:
            under_way.pop(0)
        elif turn == "drop" and held:
            held.pop(which % len(held))
        assert all((update == number).all() for number, update in held)
