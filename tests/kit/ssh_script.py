"""An `ssh` that reaches no machine: it answers for `pouw` there, by the machine's name, and notes what it was told."""

import os
import stat
from pathlib import Path

import pytest

SCRIPT = """#!/bin/sh
for word; do last=$word; done
while [ "$1" != -- ]; do shift; done
host=$2
read -r secret
echo "$host $last" >> {folder}/calls
case "$host $last" in
  "down"*version*) echo "connection refused" >&2; exit 255;;
  "none"*version*) exit 127;;
  *version*) echo '{{"version": "0.1.0"}}';;
  "full"*join*) echo '{{"error": "too little disk", "code": "disk", "hint": "make room"}}'; exit 1;;
  "deaf"*down*) exit 255;;
  *join*) echo "$secret" >> {folder}/secrets; echo '{{"address": "a", "pid": 7, "log": "l"}}';;
  *down*) echo '{{"stopped": false, "worker_pid": 7}}';;
esac
"""


def scripted_ssh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it before the real one. Returns the file with what it was told, a line each."""
    folder.mkdir()
    (folder / "ssh").write_text(SCRIPT.format(folder=folder))
    (folder / "ssh").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "calls"
