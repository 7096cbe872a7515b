"""Logs: one JSON object a line, one file a process, with job, round and slot where they are known."""

import json
import logging
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from cluster.config import HomeLayout
from cluster.secret_file import make_private_folder
from cluster.views import LogLine, LogQuery

_CONTEXT: Final = ("job", "round", "slot")
_KEPT_BYTES: Final = 4 * 1024 * 1024


class _JsonLines(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "role": self._role,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update({key: value for key in _CONTEXT if (value := getattr(record, key, None)) is not None})
        if record.exc_info:
            line["message"] = f"{line['message']}\n{self.formatException(record.exc_info)}"
        return json.dumps(line)


def configure_logging(home: HomeLayout, role: str) -> None:
    """Send everything under the logger `pouw` to this role's file."""
    make_private_folder(home.logs)
    handler = logging.FileHandler(home.logs / f"{role}.log", encoding="utf-8")
    handler.setFormatter(_JsonLines(role))
    logger = logging.getLogger("pouw")
    for former in logger.handlers:
        former.close()
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def about(job: bytes, round_number: int | None = None, slot: int | None = None) -> dict[str, str | int | None]:
    """What a line is about: for the `extra` of a call to a logger."""
    return {"job": job.hex(), "round": round_number, "slot": slot}


def read_logs(home: HomeLayout, query: LogQuery, tail: int) -> tuple[LogLine, ...]:
    """The latest lines of all roles that are wanted, in order of time."""
    lines: deque[LogLine] = deque()
    for path in sorted(home.logs.glob("*.log")):
        lines.extend(line for line in _read_file(path) if query.fits(line))
    return tuple(sorted(lines, key=lambda line: line.time)[-tail:])


def _read_file(path: Path) -> Iterator[LogLine]:
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - _KEPT_BYTES))
        for line in file:
            try:
                yield msgspec.json.decode(line, type=LogLine)
            except msgspec.DecodeError:
                continue  # the line that the tail starts in the middle of
