"""A report says what the slot gave, and a seal is found where a nonce wins, never elsewhere."""

from consensus.mechanisms.pouw.nonce import is_below_target, nonce, proof_of_work_hash, tries
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Height, Target, TimeMs
from consensus.records.block import Header
from consensus.records.work import SlotReport
from jobs.mining.search import build_report, search
from tests.kit.genesis import make_params, public_key
from tests.kit.work import make_assignment, make_report, word


def make_header(target: Target) -> Header:
    return Header(
        chain_id=word("chain"),
        height=Height(3),
        parent=word("parent"),
        time_ms=TimeMs(1),
        mechanism="pouw",
        producer=public_key("miner"),
        target=target,
        transactions_root=word("transactions"),
        history_root=word("history"),
        state_root=word("state"),
    )


IMPOSSIBLE, CERTAIN = Target(bytes(32)), Target(b"\xff" * 32)
PARAMS = make_params(max_tries=50, bytes_per_batch_try=1024, bytes_per_weight_try=4096)


def make_slot() -> SlotReport:
    return make_report(make_assignment(word("job")), steps=3)


def test_a_certain_target_takes_the_first_nonce() -> None:
    assert search(make_slot(), make_header(CERTAIN), PARAMS) == (0, 0)


def test_an_impossible_target_is_never_met() -> None:
    assert search(make_slot(), make_header(IMPOSSIBLE), PARAMS) is None


def test_the_first_winning_nonce_is_found() -> None:
    report, header = make_slot(), make_header(Target(bytes([32]) + bytes(31)))
    places = [(number, j) for number, step in enumerate(report.steps) for j in range(tries(PARAMS, step))]
    wins = [(number, j) for number, j in places if is_win(report, header, number, j)]
    assert len(places) == 3 * tries(PARAMS, report.steps[0])
    assert 0 < len(wins) < len(places)
    assert search(report, header, PARAMS) == wins[0]


def is_win(report: SlotReport, header: Header, number: int, attempt: int) -> bool:
    work_hash = proof_of_work_hash(encode(header), nonce(report.steps[number].digest, attempt))
    return is_below_target(work_hash, header.target)


def test_a_report_repeats_the_assignment_and_the_traces() -> None:
    assignment = make_assignment(word("job"), 4, 2)
    given = make_report(assignment, steps=2)
    finished = _Finished(given)
    header = make_header(CERTAIN)
    report = build_report(assignment, finished, replay_class=word("class"), template=header)
    assert report.template == header.template_hash
    assert report == make_report(assignment, steps=2, template=header.template_hash)
    assert build_report(assignment, finished, replay_class=word("class")).template is None


class _Finished:
    """A slot's result that came to just what a report says."""

    def __init__(self, report: SlotReport) -> None:
        self.update_digest, self.steps, self.examples = report.update, report.steps, report.examples
