"""Verdicts travel as records."""

import msgspec
import pytest

from consensus.errors import EncodingError, Reject
from consensus.primitives.encoding import decode, encode
from consensus.replay.verdict import Outcome, Verdict
from tests.kit.work import word


@pytest.mark.parametrize("outcome", list(Outcome))
def test_survives_the_codec(outcome: Outcome) -> None:
    verdict = Verdict(job=word("job"), round=1, slot=2, outcome=outcome, code=Reject.LOSS, step=3, detail="bits")
    assert decode(encode(verdict), Verdict) == verdict


def test_knows_only_codes_that_exist() -> None:
    value = ["pouw/verdict/1", word("job"), 1, 2, "mismatch", "made-up", None, ""]
    with pytest.raises(EncodingError):
        decode(msgspec.msgpack.encode(value), Verdict)
