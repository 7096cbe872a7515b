"""A worker node: one a home, with the token in its environment, ended by its own mark only."""

import msgspec
import pytest

from cluster.config import HomeLayout, mark_process
from cluster.errors import ConflictError, NotAuthorisedError, UsageError
from cluster.launch import join
from cluster.launch.join import WorkerFile, join_site, leave_site, load_ray_token, read_worker_file
from cluster.launch.process import spawn_detached
from cluster.secret_file import replace_secret


def record_worker(home: HomeLayout, *, shift_s: float = 0.0) -> WorkerFile:
    worker = spawn_detached(["/bin/sleep", "60"], home.worker_log, {})
    mark = mark_process(worker.pid)
    record = WorkerFile(pid=mark.pid, create_time=mark.create_time + shift_s, address="127.0.0.1:6379")
    replace_secret(home.worker_file, msgspec.json.encode(record))
    return record


def test_the_token_comes_from_the_environment_or_the_home(home: HomeLayout) -> None:
    assert load_ray_token(home, {"POUW_RAY_TOKEN": " given\n"}) == "given"
    with pytest.raises(NotAuthorisedError) as caught:
        load_ray_token(home, {})
    assert caught.value.code == "no-ray-token"
    replace_secret(home.ray_token, b"kept\n")
    assert load_ray_token(home, {}) == "kept"
    home.ray_token.chmod(0o644)
    with pytest.raises(NotAuthorisedError):
        load_ray_token(home, {})


@pytest.mark.parametrize("address", ["host", "host:", ":6379", "host:port", "http://host:6379", "a b:1", "host:1;ls"])
def test_what_is_no_address_is_refused(home: HomeLayout, address: str) -> None:
    with pytest.raises(UsageError) as caught:
        join_site(home, address, "t")
    assert caught.value.code == "address"


def test_a_second_node_is_refused_and_the_first_one_leaves(home: HomeLayout) -> None:
    worker = record_worker(home)
    with pytest.raises(ConflictError) as caught:
        join_site(home, "127.0.0.1:6379", "t")
    assert caught.value.code == "joined"
    assert leave_site(home) == worker.pid
    assert not worker.is_alive
    assert read_worker_file(home) is None
    assert leave_site(home) is None


def test_another_process_under_the_recorded_id_is_left_alone(home: HomeLayout) -> None:
    record = record_worker(home, shift_s=-100)
    assert leave_site(home) is None
    real = WorkerFile(pid=record.pid, create_time=record.create_time + 100, address="")
    assert real.is_alive
    replace_secret(home.worker_file, msgspec.json.encode(real))
    assert leave_site(home) == record.pid


def test_the_token_is_in_the_environment_and_not_on_the_command_line() -> None:
    assert join._environment("secret")["RAY_AUTH_TOKEN"] == "secret"
    assert join._environment("secret")["RAY_AUTH_MODE"] == "token"
    command = join._command("127.0.0.1:6379", "10.0.0.2", 4)
    assert command[-4:] == ["--address=127.0.0.1:6379", "--block", "--node-ip-address=10.0.0.2", "--num-cpus=4"]
