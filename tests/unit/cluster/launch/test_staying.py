"""The keeper of a joined node: joins again when the node ends, and never after `leave`."""

import msgspec
import pytest

from cluster.config import HomeLayout, ProcessMark, mark_process
from cluster.errors import ConflictError, UnreachableError
from cluster.launch.join import WorkerFile, read_worker_file
from cluster.launch.process import kill_group, spawn_detached, wait_until
from cluster.launch.staying import check_not_staying, keep, leave
from cluster.secret_file import make_private_folder, replace_secret


class StopError(Exception):
    """Ends `keep` in a test: it runs for as long as there is a home."""


class Site:
    """Joining, as often as it is asked for, and what `keep` slept."""

    def __init__(self, home: HomeLayout, failures: int = 0) -> None:
        self.home, self.failures = home, failures
        self.workers: list[WorkerFile] = []
        self.slept_s: list[float] = []

    def join(self) -> None:
        if self.failures:
            self.failures -= 1
            raise UnreachableError("nobody answers")
        mark = mark_process(spawn_detached(["/bin/sleep", "60"], self.home.worker_log, {}).pid)
        worker = WorkerFile(pid=mark.pid, create_time=mark.create_time, address="127.0.0.1:1")
        replace_secret(self.home.worker_file, msgspec.json.encode(worker))
        self.workers.append(worker)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        if self.workers and self.workers[-1].is_alive and len(self.workers) < 3:
            kill_group(self.workers[-1])
        elif len(self.workers) == 3:
            raise StopError


@pytest.fixture
def joined(home: HomeLayout) -> HomeLayout:
    make_private_folder(home.root)
    return home


def test_joins_again_each_time_the_node_has_ended(joined: HomeLayout) -> None:
    site = Site(joined)
    with pytest.raises(StopError):
        keep(joined, site.join, site.sleep)
    assert [worker.is_alive for worker in site.workers] == [False, False, True]
    assert read_worker_file(joined) == site.workers[-1]
    assert leave(joined) == site.workers[-1].pid


def test_tries_less_and_less_often_while_the_site_is_away(joined: HomeLayout) -> None:
    site = Site(joined, failures=9)
    with pytest.raises(StopError):
        keep(joined, site.join, site.sleep)
    assert site.slept_s[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    leave(joined)


def test_ends_with_its_home(joined: HomeLayout) -> None:
    site = Site(HomeLayout(root=joined.root / "nothing"))
    keep(site.home, site.join, site.sleep)
    assert (site.workers, site.slept_s) == ([], [])


def test_leaving_ends_the_keeper_first_and_then_the_node(joined: HomeLayout) -> None:
    site = Site(joined)
    site.join()
    keeper = mark_process(spawn_detached(["/bin/sleep", "60"], joined.worker_log, {}).pid)
    replace_secret(joined.worker_keeper_file, msgspec.json.encode(keeper))
    with pytest.raises(ConflictError):
        check_not_staying(joined)
    kill_group(site.workers[0])
    assert wait_until(lambda: not site.workers[0].is_alive, 10)
    with pytest.raises(ConflictError, match="waiting to join"):
        check_not_staying(joined)
    leave(joined)
    assert not keeper.is_alive
    assert not joined.worker_keeper_file.exists()
    check_not_staying(joined)


def test_a_node_of_another_chain_is_left_alone(joined: HomeLayout) -> None:
    site = Site(joined)
    site.join()
    node = msgspec.structs.replace(site.workers[0], chain_id="ab" * 32)
    replace_secret(joined.worker_file, msgspec.json.encode(node))
    assert leave(joined, "cd" * 32) is None
    assert node.is_alive
    assert leave(joined, "ab" * 32) == node.pid
    assert not node.is_alive


def test_another_process_under_the_keepers_id_is_left_alone(joined: HomeLayout) -> None:
    other = mark_process(spawn_detached(["/bin/sleep", "60"], joined.worker_log, {}).pid)
    stale = ProcessMark(pid=other.pid, create_time=other.create_time - 100)
    replace_secret(joined.worker_keeper_file, msgspec.json.encode(stale))
    check_not_staying(joined)
    assert leave(joined) is None
    assert other.is_alive
    kill_group(other)
