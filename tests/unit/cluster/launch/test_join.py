"""A worker node: one a home, with the token in its environment, ended by its own mark only."""

import os
import signal
import socket
from pathlib import Path

import msgspec
import psutil
import pytest

from cluster.config import HomeLayout, mark_process
from cluster.errors import ClusterError, ConflictError, NotAuthorisedError, UnreachableError, UsageError
from cluster.launch import join
from cluster.launch.join import NodeOptions, WorkerFile, join_site, leave_site, load_ray_token, read_worker_file
from cluster.launch.process import spawn_detached, wait_until
from cluster.launch.ray_environment import ray_environment
from cluster.launch.resources import check_enough_disk, check_enough_memory
from cluster.secret_file import replace_secret
from jobs.determinism import PORTABLE, environment

LABEL = "0123456789abcdef" * 2


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


@pytest.mark.parametrize(
    ("log", "kind", "code", "words"),
    [
        (
            "x\nAuthenticationError: InvalidAuthToken: y\n\n",
            NotAuthorisedError,
            "ray-token",
            "not accept",
        ),
        ("Traceback\nRuntimeError: no route\n\n", UnreachableError, "join", "RuntimeError: no route"),
        ("", UnreachableError, "join", "it said nothing"),
    ],
)
def test_a_node_that_cannot_join_says_why_in_one_line(
    home: HomeLayout, log: str, kind: type[ClusterError], code: str, words: str
) -> None:
    home.worker_log.write_text("of an earlier node\n" + log)
    error = join._explain(home, "127.0.0.1:6379", len("of an earlier node\n"))
    assert (type(error), error.code) == (kind, code)
    assert words in error.message
    assert "\n" not in error.message


def test_the_token_is_in_the_environment_and_not_on_the_command_line() -> None:
    variables = ray_environment("secret")
    assert (variables["RAY_AUTH_MODE"], variables["RAY_AUTH_TOKEN"]) == ("token", "secret")
    assert environment(PORTABLE).items() <= variables.items()
    options = NodeOptions(node_ip="10.0.0.2", cpus=4)
    command = join._command("127.0.0.1:6379", options, "/tmp/pouw-x", LABEL)
    assert {"--address=127.0.0.1:6379", "--node-ip-address=10.0.0.2", "--cpus=4"} <= set(command)
    assert f"--labels=pouw.card={LABEL}" in command
    assert "secret" not in " ".join(command)


def test_a_machine_on_demand_says_so_in_a_label() -> None:
    command = join._command("127.0.0.1:6379", NodeOptions(is_on_demand=True), "/tmp/pouw-x", LABEL)
    assert f"--labels=pouw.card={LABEL},pouw.on-demand=true" in command


def test_a_home_works_for_one_chain_unless_told_otherwise(home: HomeLayout) -> None:
    assert join._expected_chain(home, NodeOptions()) is None
    home.worker_chain.write_text("ab" * 32 + "\n")
    assert join._expected_chain(home, NodeOptions()) == "ab" * 32
    assert join._expected_chain(home, NodeOptions(chain_id="cd" * 32)) == "cd" * 32
    with pytest.raises(UsageError):
        join._expected_chain(home, NodeOptions(chain_id="cd"))


def test_nobody_listening_is_said_at_once_and_leaves_nothing(home: HomeLayout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UnreachableError) as caught:
        join_site(home, f"127.0.0.1:{port}", "t")
    assert caught.value.code == "unreachable"
    assert f"127.0.0.1:{port}" in caught.value.message
    assert read_worker_file(home) is None
    assert not home.worker_log.exists()


def test_what_is_left_of_a_killed_node_is_ended_with_it(home: HomeLayout, tmp_path: Path) -> None:
    folder = tmp_path / "pouw-node"
    folder.mkdir()
    script = f"sleep 60 & exec sh -c 'sleep 61; true' {folder} & wait"
    leader = spawn_detached(["/bin/sh", "-c", script], home.worker_log, {})
    mark = mark_process(leader.pid)
    record = WorkerFile(pid=mark.pid, create_time=mark.create_time, address="", folder=str(folder))
    replace_secret(home.worker_file, msgspec.json.encode(record))
    wait_until(
        lambda: folder.name in " ".join(" ".join(p.cmdline()) for p in psutil.Process(leader.pid).children()), 20
    )
    os.kill(leader.pid, signal.SIGKILL)
    wait_until(leader.has_ended, 20)
    assert join._leftovers(record)
    assert leave_site(home) == leader.pid
    assert not join._leftovers(record)
    assert not folder.exists()
    assert read_worker_file(home) is None


def test_too_little_memory_or_disk_is_refused_with_both_figures(home: HomeLayout) -> None:
    with pytest.raises(ConflictError, match=r"GB available, a node needs 1000000000\.0 GB") as memory:
        check_enough_memory(10**18)
    with pytest.raises(ConflictError, match=r"GB free at .*, a node needs 1000000000\.0 GB") as disk:
        check_enough_disk(home, 10**18)
    assert (memory.value.code, disk.value.code) == ("memory", "disk")
    assert memory.value.hint
    assert disk.value.hint
