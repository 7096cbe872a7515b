"""One task is under way while the caller goes on; its error comes up at the next step and is never lost."""

import threading

import pytest

from storage.one_behind import OneBehind


def fail() -> None:
    raise ValueError("task")


def test_tasks_run_in_order_and_one_at_a_time() -> None:
    done: list[int] = []
    gate = threading.Event()
    with OneBehind() as behind:
        behind.submit(lambda: (gate.wait(10), done.append(0))[1])
        assert done == []
        gate.set()
        for number in range(1, 5):
            behind.submit(lambda number=number: done.append(number))
            assert done[:number] == list(range(number))
    assert done == [0, 1, 2, 3, 4]


def test_error_of_a_task_comes_up_at_the_next_step() -> None:
    for step in (lambda behind: behind.submit(lambda: None), lambda behind: behind.wait()):
        with pytest.raises(ValueError, match="task"), OneBehind() as behind:  # noqa: PT012
            behind.submit(fail)
            step(behind)


def test_error_of_the_last_task_comes_up_at_the_end() -> None:
    with pytest.raises(ValueError, match="task"), OneBehind() as behind:
        behind.submit(fail)


def test_the_callers_own_error_is_not_replaced_and_the_task_has_ended() -> None:
    done: list[int] = []
    gate = threading.Event()
    with pytest.raises(KeyError), OneBehind() as behind:  # noqa: PT012
        behind.submit(lambda: (gate.wait(10), done.append(1))[1])
        gate.set()
        raise KeyError
    assert done == [1]
    with pytest.raises(KeyError), OneBehind() as behind:  # noqa: PT012
        behind.submit(fail)
        raise KeyError
