"""Which lines of the logs a query takes, and what a line says."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.config import HomeLayout
from cluster.logs import about, configure_logging, read_logs
from cluster.views import LogQuery

JOB = bytes.fromhex("ab" * 32)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HomeLayout]:
    """A home in which two miners and a supervisor have written."""
    layout = HomeLayout(root=tmp_path)
    log = logging.getLogger("pouw.test")
    for role, round_number, slot in (("miner-0", 3, 1), ("miner-1", 3, 2), ("supervisor-0", 4, None)):
        configure_logging(layout, role)
        log.warning("from %s", role, extra=about(JOB, round_number, slot))
    log.info("about nothing")
    yield layout
    ours = logging.getLogger("pouw")
    for handler in ours.handlers:
        handler.close()
    ours.handlers.clear()
    ours.propagate = True


@pytest.mark.parametrize(
    ("query", "roles"),
    [
        (LogQuery(), ["miner-0", "miner-1", "supervisor-0", "supervisor-0"]),
        (LogQuery(role="miner"), ["miner-0", "miner-1"]),
        (LogQuery(role="miner-1"), ["miner-1"]),
        (LogQuery(role="mine"), []),
        (LogQuery(job="abab"), ["miner-0", "miner-1", "supervisor-0"]),
        (LogQuery(job="cd"), []),
        (LogQuery(round=3), ["miner-0", "miner-1"]),
        (LogQuery(round=3, slot=2), ["miner-1"]),
        (LogQuery(slot=0), []),
    ],
)
def test_a_query_takes_what_fits(home: HomeLayout, query: LogQuery, roles: list[str]) -> None:
    assert [line.role for line in read_logs(home, query, tail=10)] == roles


def test_a_line_is_json_with_job_round_and_slot(home: HomeLayout) -> None:
    line = json.loads((home.logs / "miner-0.log").read_text())
    assert (line["job"], line["round"], line["slot"]) == (JOB.hex(), 3, 1)
    assert (line["role"], line["level"], line["message"]) == ("miner-0", "warning", "from miner-0")
