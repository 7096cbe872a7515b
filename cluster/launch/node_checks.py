"""Checks of `pouw doctor` on every node of a running site, from what the gateway saw there."""

from collections.abc import Iterator
from typing import Final

from cluster.launch.checks import CheckView
from cluster.launch.resources import GIGABYTE, LEAST_DISK, LEAST_MEMORY
from cluster.views import NodeView

MOST_SKEW_MS: Final = 2_000
"""Block times are compared with clocks; a block ten seconds ahead is refused."""


def check_node(node: NodeView) -> Iterator[CheckView]:
    """Everything about one node."""
    name = f"node {node.address}"
    if node.difference:
        yield CheckView(name=name, ok=False, detail=node.difference, fix=node.fix)
    elif not node.takes_miners:
        fix = "end Ray there and use: pouw join"
        yield CheckView(name=name, ok=False, detail="started without pouw join: it gets no miners", fix=fix)
    else:
        yield CheckView(name=name, ok=True, detail="versions, replay class and self-test equal the site's")
    if node.is_measured:
        yield from _machine(name, node)


def _machine(name: str, node: NodeView) -> Iterator[CheckView]:
    off_ms = max(0, abs(node.skew_ms) - node.uncertain_ms)
    ahead = f"clock {node.skew_ms:+d} ms (known to {node.uncertain_ms} ms)"
    fix = "set the clock there, for example with NTP" if off_ms > MOST_SKEW_MS else ""
    yield CheckView(name=f"{name} clock", ok=not fix, detail=ahead, fix=fix)
    words = f"{node.memory_bytes / GIGABYTE:.1f} GB memory, {node.disk_bytes / GIGABYTE:.1f} GB disk"
    fixes = []
    if node.memory_bytes < LEAST_MEMORY:
        fixes.append("end other programs there")
    if node.disk_bytes < LEAST_DISK:
        fixes.append("make room on its disk")
    gpus = f", {', '.join(node.gpus)}" if node.gpus else ""
    yield CheckView(name=f"{name} room", ok=not fixes, detail=words + gpus, fix="; ".join(fixes))
