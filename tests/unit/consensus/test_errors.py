"""Errors carry a stable code and the values that broke a rule, also to another process."""

import pickle  # noqa: TID251  # errors cross process borders this way, inside one trust domain

import pytest

from consensus.errors import InvalidBlockError, InvalidReportError, InvalidTransactionError, Reject, RejectedError


@pytest.mark.parametrize("kind", [InvalidBlockError, InvalidTransactionError, InvalidReportError])
def test_survives_the_way_to_another_process(kind: type[RejectedError]) -> None:
    error = pickle.loads(pickle.dumps(kind(Reject.TARGET, expected=b"\x01" * 32, actual=7)))  # noqa: S301
    assert type(error) is kind
    assert error.code is Reject.TARGET
    assert error.detail == {"expected": b"\x01" * 32, "actual": 7}


def test_tells_what_is_wrong() -> None:
    assert str(InvalidBlockError(Reject.EMPTY_BLOCK)) == "empty-block"
    error = InvalidBlockError(Reject.HEIGHT, expected=2, actual=b"\xab" * 32)
    assert str(error) == "height: expected=2, actual=abababababababab"


def test_has_no_code_twice() -> None:
    assert len({code.value for code in Reject}) == len(Reject.__members__)
