"""chain verify and audit work on files alone, and say clearly what they found."""

import pytest

from cluster.cli.auditing import print_audit, print_verified
from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.node.audit import AuditView, VerifyView
from tests.kit.command import Pouw
from tests.kit.memory_site import JOB_ID


@pytest.mark.parametrize("arguments", [["chain", "verify"], ["audit", JOB_ID]], ids=" ".join)
def test_without_a_chain_exits_4(pouw: Pouw, home: HomeLayout, arguments: list[str]) -> None:
    outcome = pouw(*arguments, "--json")
    assert outcome.code == ExitCode.NOT_FOUND
    assert outcome.error_code == "not-found"


def test_a_part_of_an_id_needs_a_site_to_complete_it(pouw: Pouw, home: HomeLayout) -> None:
    outcome = pouw("audit", "3f2a", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.USAGE, "job-id")


def test_a_fault_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    view = VerifyView(
        valid=False,
        height=9,
        blocks_checked=4,
        slots_replayed=0,
        seconds=0.5,
        fault="block 5: state-root",
        warnings=("fixed beacon",),
    )
    print_verified(view)
    out, err = capsys.readouterr()
    assert "NOT VALID: 4 blocks up to height 9" in out
    assert err.splitlines() == ["fault: block 5: state-root", "warning: fixed beacon"]


def test_an_audit_tells_what_differs_and_what_could_not_be_judged(capsys: pytest.CaptureFixture[str]) -> None:
    print_audit(AuditView(sampled=3, match=1, mismatch=1, inconclusive=1, notes=("round 2, slot 0: update",)))
    out, err = capsys.readouterr()
    assert out == "3 slots sampled: 1 match, 1 differ, 1 inconclusive\n"
    assert err.startswith("round 2, slot 0: update\ninconclusive: ")
