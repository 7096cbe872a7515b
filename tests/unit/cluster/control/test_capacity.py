"""How many miners fit, and what is said of more."""

import pytest

from cluster.control.capacity import MOST_ON_A_CORE, Room, check_scale
from cluster.errors import ConflictError, ExitCode, UsageError

MIB = 1024 * 1024


def room(address: str = "here", *, miners: int = 0, places: int = 4096, cores: int = 2, free_mib: int = 1000) -> Room:
    return Room(address=address, miners=miners, places=places, cores=cores, free_bytes=free_mib * MIB)


def test_memory_sets_the_limit_and_miners_that_are_there_fit() -> None:
    assert room(miners=3, free_mib=1000).most(250 * MIB) == (7, "memory")
    assert room(miners=3, free_mib=0).most(250 * MIB) == (3, "memory")


def test_cores_and_places_set_the_limit() -> None:
    assert room(free_mib=10**6).most(MIB) == (2 * MOST_ON_A_CORE, "cores")
    assert room(places=4, free_mib=10**6).most(MIB) == (4, "cores")


def test_more_than_the_machines_hold_is_refused_with_what_fits() -> None:
    rooms = [room("a", free_mib=1000), room("b", places=4, free_mib=10**6)]
    check_scale(8, 0, rooms, 250 * MIB)
    with pytest.raises(ConflictError) as refused:
        check_scale(9, 0, rooms, 250 * MIB)
    assert (
        refused.value.message == "9 miners do not fit: the machines have room for 8 (4 on a by memory, 4 on b by cores)"
    )
    assert "pouw join" in refused.value.hint
    assert refused.value.exit_code is ExitCode.FAILED


def test_fewer_than_now_is_always_possible() -> None:
    check_scale(5, 6, [room(miners=6, free_mib=0, places=2)])


def test_no_machine_no_miner() -> None:
    with pytest.raises(ConflictError, match="room for 0"):
        check_scale(1, 0, [])


@pytest.mark.parametrize("count", [0, -3, 4097])
def test_what_is_no_number_of_miners_is_wrong_usage(count: int) -> None:
    with pytest.raises(UsageError) as refused:
        check_scale(count, 2, [room()])
    assert refused.value.exit_code is ExitCode.USAGE
