"""Hosts in network namespaces reach each other at the rate that was asked for, can be cut off, and leave nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.namespaces import Host, NamespaceError, Network, connected_hosts, remove_leftovers, why_not

REPOSITORY = Path(__file__).parents[3]
PORT = 7000
MEGABYTE = 1_000_000

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "namespaces can be used")

RECEIVE = """
import socket, sys, time
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
connection, _ = listener.accept()
started, received = time.perf_counter(), 0
while data := connection.recv(1 << 16):
    received += len(data)
print(received, time.perf_counter() - started)
"""
SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[4])) as connection:
    connection.sendall(bytes(int(sys.argv[3])))
"""


def send(sender: Host, receiver: Host, size_bytes: int, timeout_s: float = 30.0) -> float:
    """Send bytes over TCP; returns megabits a second."""
    address = [receiver.address, str(PORT)]
    with receiver.start([sys.executable, "-c", RECEIVE, *address]) as listening:
        assert listening.stdout is not None
        assert listening.stdout.readline() == "ready\n"
        try:
            sender.run([sys.executable, "-c", SEND, *address, str(size_bytes), str(timeout_s)])
        except NamespaceError:
            listening.kill()
            raise
        received, seconds = listening.stdout.read().split()
    assert int(received) == size_bytes
    return 8 * size_bytes / MEGABYTE / float(seconds)


def namespaces() -> set[str]:
    """Those of this machine."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line}


def test_a_link_has_the_rate_that_was_asked_for() -> None:
    with connected_hosts(2, rate_mbit=100) as network:
        limited = send(*network.hosts, 5 * MEGABYTE)
    with connected_hosts(2) as network:
        unlimited = send(*network.hosts, 20 * MEGABYTE)
    assert 5 < limited < 110
    assert unlimited > 2 * limited


def test_a_host_that_is_cut_off_is_reached_again_when_it_is_mended() -> None:
    with connected_hosts(2) as network:
        network.hosts[1].cut()
        with pytest.raises(NamespaceError, match=r"timed out|No route|unreachable"):
            send(*network.hosts, 1, timeout_s=1.0)
        network.hosts[1].mend()
        assert send(*network.hosts, MEGABYTE) > 0


def test_nothing_is_left_of_a_network() -> None:
    with connected_hosts(2) as network:
        names = {host.name for host in network.hosts}
        assert names < namespaces()
        sleeping = network.hosts[0].start(["sleep", "600"])
    assert not any(str(os.getpid()) in name for name in namespaces())
    with sleeping:
        assert sleeping.wait(10) != 0


def test_what_a_killed_script_left_is_removed() -> None:
    script = (
        "from benchmarks.namespaces import connected_hosts\n"
        "with connected_hosts(2) as network:\n"
        "    sleeping = network.hosts[1].start(['sleep', '600'])\n"
        "    print(sleeping.pid, flush=True)\n"
        "    sleeping.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as built:
        assert built.stdout is not None
        sleeping = int(built.stdout.readline())
        built.kill()
    left = {host.name for host in Network.of(built.pid, 2).hosts}
    assert left < namespaces()
    assert left < set(remove_leftovers())
    assert not any(str(built.pid) in name for name in namespaces())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(sleeping) and psutil.Process(sleeping).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_hosts_of_another_process_are_found_by_their_names() -> None:
    with connected_hosts(2) as network:
        assert Network.of(os.getpid(), 2) == network


def test_refuses_a_network_without_hosts() -> None:
    with pytest.raises(NamespaceError, match="1 to 200 hosts"), connected_hosts(0):
        pass
