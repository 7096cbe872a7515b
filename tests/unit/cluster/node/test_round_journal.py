"""What a coordinator leaves to the next one on its machine."""

from pathlib import Path

import numpy as np
import pytest

from cluster.node.ports import Checkpoint
from cluster.node.round_journal import OPTIMIZERS, FileJournal
from tests.kit.work import word

LONG_S = 3600.0
DIGESTS = [word("state", number) for number in range(12)]


def checkpoint(number: int) -> Checkpoint:
    values = np.arange(1_000, dtype=np.float32) + number
    return Checkpoint(round=number, state=values, optimizer=-values)


def journal_of(folder: Path, rounds: int = 6) -> FileJournal:
    journal = FileJournal(folder)
    for number in range(rounds):
        journal.save(checkpoint(number), DIGESTS[number], LONG_S)
    return journal


def test_another_process_finds_every_state_and_the_latest_optimizers(tmp_path: Path) -> None:
    journal_of(tmp_path / "job")
    found = FileJournal(tmp_path / "job")
    assert found.rounds() == dict(enumerate(DIGESTS[:6]))
    for number in range(6):
        np.testing.assert_array_equal(found.load_state(number), checkpoint(number).state)
        assert found.has_optimizer(number) == (number >= 6 - OPTIMIZERS)
    np.testing.assert_array_equal(found.load_optimizer(5), checkpoint(5).optimizer)


def test_forgets_rounds_outside_of_what_is_kept(tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "job")
    journal.keep(2, 4)
    assert sorted(journal.rounds()) == [2, 3, 4]
    assert not journal.has_optimizer(5)
    assert journal.has_optimizer(4)


def test_a_killed_writer_leaves_no_half_state(tmp_path: Path) -> None:
    journal_of(tmp_path / "job", 2)
    (tmp_path / "job" / "unfinished").write_bytes(b"half")
    found = FileJournal(tmp_path / "job")
    assert sorted(found.rounds()) == [0, 1]
    found.keep(0, 0)
    assert sorted(found.rounds()) == [0]


def test_what_another_boot_left_is_not_read(tmp_path: Path) -> None:
    """Nobody waited for the disk."""
    journal_of(tmp_path / "job")
    assert FileJournal(tmp_path / "job", boot=1.0).rounds() == {}


def test_is_off_where_saving_takes_too_much_of_a_round(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "job")
    for number in range(6):
        journal.save(checkpoint(number), DIGESTS[number], 1e-9)
    assert not journal.is_on
    assert journal.rounds() == {}


def test_a_folder_that_cannot_be_written_turns_it_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = journal_of(tmp_path / "job", 2)
    (tmp_path / "job" / "unfinished").mkdir()
    journal.save(checkpoint(2), DIGESTS[2], LONG_S)
    assert not journal.is_on
    assert "not kept" in caplog.text
