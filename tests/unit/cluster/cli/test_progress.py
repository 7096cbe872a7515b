"""Progress is for people: bars on a terminal, a line now and then elsewhere, silence for programs."""

from cluster.cli.progress import LINE_EVERY_S, Lines, SubmitDisplay, describe_training, training
from cluster.views import JobView

JOB = JobView(job_id="j", name="n", state="running", round=12, rounds=300)


def test_lines_come_now_and_then_and_at_the_end() -> None:
    now, written = [0.0], []
    lines = Lines(clock=lambda: now[0], write=written.append)
    for done in range(11):
        lines.update("work", done, 10, f"{done} of 10")
        lines.update("work", done, 10, f"{done} of 10")
        now[0] += LINE_EVERY_S / 4
    assert written == ["work: 0 of 10", "work: 4 of 10", "work: 8 of 10", "work: 10 of 10"]


def test_things_are_told_apart() -> None:
    written: list[str] = []
    lines = Lines(clock=lambda: 0.0, write=written.append)
    lines.update("a", 0, None, "x")
    lines.update("b", 0, None, "y")
    assert written == ["a: x", "b: y"]


def test_training_is_one_line_of_what_is_known() -> None:
    assert describe_training(JOB) == "running  round 12/300  0 blocks  0 miners"
    known = JobView(
        job_id="j",
        name="n",
        state="running",
        round=12,
        rounds=300,
        loss=0.5,
        metrics={"accuracy": 0.9},
        samples_per_s=1234.5,
        blocks=3,
        miners=2,
        reason="waits for a miner",
    )
    words = (
        "running  round 12/300  loss 0.5000  accuracy 0.9000  3 blocks  2 miners  1,234 samples/s  waits for a miner"
    )
    assert describe_training(known) == words


def test_a_job_without_rounds_yet_is_no_finished_bar() -> None:
    seen: list[tuple[int, int | None]] = []

    class Display:
        def update(self, name: str, done: int, total: int | None, words: str) -> None:
            seen.append((done, total))

    training(Display())(JobView(job_id="j", name="n", state="queued", round=0, rounds=0))
    SubmitDisplay(Display()).uploading(0, 10)
    assert seen == [(0, 1), (0, 10)]
