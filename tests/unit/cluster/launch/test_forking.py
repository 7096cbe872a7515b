"""Workers are forked from a process that has everything loaded, or load it themselves."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.launch.forking import fork_server, workers_of
from jobs.determinism import PORTABLE, environment

REPORT = """
import json, os, sys
if "--touch" in sys.argv:
    open(sys.argv[-1], "w").close()
print(json.dumps({
    "parent": os.getppid(), "arguments": sys.argv, "first": sys.path[0], "main": __name__, "folder": os.getcwd(),
    "torch": "torch" in sys.modules, "ray": "ray" in sys.modules, "variable": os.environ.get("SOMETHING", ""),
    "threads": len(os.listdir("/proc/self/task")), "oom": open("/proc/self/oom_score_adj").read().strip(),
}))
print("complaint", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program that Ray runs as Python, with its server running."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(PORTABLE).items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("server")
        with fork_server(folder, folder / "default_worker.py") as program:
            yield program


def write(python: Path, name: str = "default_worker.py") -> Path:
    """A program beside the one that stands for Python; of this name it is the one that workers are forked with."""
    path = python.parent / name
    path.write_text(REPORT)
    return path


def variables(**more: str) -> dict[str, str]:
    return {**os.environ, **environment(PORTABLE), **more}


def run(python: Path, script: Path, *arguments: str, **more: str) -> dict[str, Any]:
    """What the script reported; a forked worker is not waited for, so it is read to its end."""
    command, given = [python, script, *arguments], variables(**more)
    done = subprocess.run(command, cwd=script.parent, env=given, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("complaint\n"), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return {**report, "status": done.returncode}


def server_of(python: Path) -> psutil.Process:
    """The living child that has the server's socket open."""
    address = str(python.parent / "fork-server")
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return next(child for child in living if address in [found.laddr for found in child.net_connections("unix")])


def test_a_worker_is_forked_with_everything_loaded_but_ray(python: Path) -> None:
    script = write(python)
    report = run(python, script, "--worker-id=7", SOMETHING="said by the raylet")
    assert report["parent"] == server_of(python).pid
    assert (report["torch"], report["ray"], report["main"]) == (True, False, "__main__")
    assert report["arguments"] == [str(script), "--worker-id=7"]
    assert report["variable"] == "said by the raylet"
    assert (report["first"], report["folder"]) == (str(python.parent), str(python.parent))
    assert report["threads"] == 1


def test_memory_that_runs_out_ends_a_worker_as_early_as_ray_wants(python: Path) -> None:
    script = write(python)
    raised = f"echo 321 > /proc/self/oom_score_adj; exec {python} {script}"
    done = subprocess.run(["sh", "-c", raised], env=variables(), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["oom"] == "321"


def test_the_server_runs_no_thread_that_a_fork_would_lose(python: Path) -> None:
    run(python, write(python))  # it has loaded everything by now
    tasks = Path(f"/proc/{server_of(python).pid}/task").iterdir()
    names = [task.joinpath("comm").read_text().strip() for task in tasks]
    assert len([name for name in names if name != "jemalloc_bg_thd"]) == 1, names


def test_other_programs_run_as_with_python_itself(python: Path) -> None:
    report = run(python, write(python, "agent.py"), "--port=1")
    assert (report["parent"], report["status"], report["torch"]) == (os.getpid(), 3, False)
    assert report["arguments"][1:] == ["--port=1"]


def test_a_program_of_the_same_name_elsewhere_is_not_forked(python: Path, tmp_path: Path) -> None:
    other = tmp_path / "default_worker.py"
    other.write_text(REPORT)
    report = run(python, other)
    assert (report["parent"], report["status"], report["torch"]) == (os.getpid(), 3, False)


def test_a_worker_whose_variables_decide_other_bits_is_not_forked(python: Path) -> None:
    report = run(python, write(python), ATEN_CPU_CAPABILITY="default")
    assert (report["parent"], report["status"], report["torch"]) == (os.getpid(), 3, False)


def test_what_is_no_request_forks_nothing_and_ends_nothing(python: Path) -> None:
    for packet in (b"", b"{}", b"\xff" * 100, b'{"arguments": 7}'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(python.parent / "fork-server"))
            connection.send(packet)
            connection.settimeout(10)
            assert connection.recv(1) != b"1"
    assert run(python, write(python))["parent"] == server_of(python).pid


def test_one_who_has_gone_meanwhile_gets_no_worker(python: Path, tmp_path: Path) -> None:
    """Its worker would be there twice: it has given up waiting and loads everything itself."""
    server, script, ran = server_of(python), write(python), tmp_path / "ran"
    arguments, folder = [str(script), "--touch", str(ran)], str(tmp_path)
    start = {"arguments": arguments, "environment": variables(), "folder": folder, "oom_score_adj": "0"}
    server.send_signal(signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(python.parent / "fork-server"))
            socket.send_fds(connection, [json.dumps(start).encode()], [0, 1, 2])
    finally:
        server.send_signal(signal.SIGCONT)
    run(python, script)  # it answers in order, so it has seen that one
    assert not ran.exists()


def test_without_the_server_workers_load_everything_themselves(tmp_path: Path) -> None:
    with fork_server(tmp_path) as python:
        server = server_of(python)
        server.kill()
        server.wait()
        report = run(python, write(python))
    assert (report["parent"], report["status"], report["torch"]) == (os.getpid(), 3, False)


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = f"""
import pathlib, time
from cluster.launch.forking import fork_server
with fork_server(pathlib.Path({str(tmp_path)!r})):
    print("up", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        (server,) = psutil.Process(parent.pid).children()
        parent.kill()
    server.wait(timeout=30)


def test_ray_is_told_of_the_program_only_while_it_starts(tmp_path: Path) -> None:
    before = sys.executable
    with workers_of(tmp_path / "python"):
        assert sys.executable == str(tmp_path / "python")
    assert sys.executable == before
