"""Every machine of a running site is checked, and what is wrong says what to do."""

import pytest

from cluster.launch.node_checks import check_node
from cluster.views import NodeView

GOOD = {"memory_bytes": 8 * 10**9, "disk_bytes": 9 * 10**9, "skew_ms": 40, "uncertain_ms": 15, "gpus": ("H200",)}


def node(*, takes_miners: bool = True, **values: object) -> NodeView:
    known = NodeView(address="127.0.0.3", is_head=False, takes_miners=takes_miners)
    return known.measured(**{**GOOD, **values})


def test_an_equal_machine_passes() -> None:
    checks = list(check_node(node()))
    assert [check.ok for check in checks] == [True, True, True]
    assert "H200" in checks[-1].detail
    assert all("127.0.0.3" in check.name for check in checks)


@pytest.mark.parametrize(
    ("seen", "name", "detail"),
    [
        (node().failed("torch: this machine has 1, the site 2", "install 2"), "node 127.0.0.3", "has 1, the site 2"),
        (node(takes_miners=False), "node 127.0.0.3", "without pouw join"),
        (node(skew_ms=2_100, uncertain_ms=15), "node 127.0.0.3 clock", "+2100 ms"),
        (node(skew_ms=-9_000), "node 127.0.0.3 clock", "-9000 ms"),
        (node(memory_bytes=10**9), "node 127.0.0.3 room", "1.0 GB memory"),
        (node(disk_bytes=10**8), "node 127.0.0.3 room", "0.1 GB disk"),
    ],
)
def test_one_fault_fails_one_check_with_a_fix(seen: NodeView, name: str, detail: str) -> None:
    failed = [check for check in check_node(seen) if not check.ok]
    assert [check.name for check in failed] == [name]
    assert detail in failed[0].detail
    assert failed[0].fix


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    assert all(check.ok for check in check_node(node(skew_ms=2_500, uncertain_ms=2_000)))


def test_a_machine_that_does_not_answer_is_one_failed_check() -> None:
    silent = NodeView(address="127.0.0.3", is_head=False, takes_miners=True).failed("does not answer", "join again")
    assert [(check.ok, check.fix) for check in check_node(silent)] == [(False, "join again")]
