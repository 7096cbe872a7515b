"""A home's files: private ones stay private, and a site is recognised by process and start time."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from cluster.config import (
    HomeLayout,
    ProcessMark,
    SiteFile,
    home_from_environment,
    mark_process,
    read_site_file,
    remove_site_file,
    write_site_file,
)
from cluster.errors import ConflictError, NotAuthorisedError
from cluster.secret_file import create_secret, load_or_create_token, load_secret, replace_secret

SITE = SiteFile(
    pid=1,
    create_time=2.0,
    address="http://127.0.0.1:1",
    ray_address="127.0.0.1:2",
    dashboard="",
    miners=2,
    supervisors=1,
    started_at="2026-01-01T00:00:00Z",
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    assert home_from_environment({"POUW_HOME": str(tmp_path)}).root == tmp_path
    assert home_from_environment({}).root.name == "pouw"


def test_folders_are_private(home: HomeLayout) -> None:
    folders = [home.root, home.keys, home.site, home.chain, home.artifacts, home.site_keys, home.logs]
    assert {mode(folder) for folder in folders} == {0o700}


def test_a_site_record_is_read_back_until_it_is_withdrawn(home: HomeLayout) -> None:
    assert read_site_file(home) is None
    write_site_file(home, SITE)
    assert read_site_file(home) == SITE
    write_site_file(home, msgspec.structs.replace(SITE, ready=True))
    assert read_site_file(home).ready
    remove_site_file(home)
    remove_site_file(home)
    assert read_site_file(home) is None


def test_a_damaged_site_record_is_a_conflict(home: HomeLayout) -> None:
    home.site_file.write_text('{"pid": "x"}')
    with pytest.raises(ConflictError) as caught:
        read_site_file(home)
    assert caught.value.code == "site-file"


def test_a_process_is_alive_only_as_itself() -> None:
    own = mark_process(os.getpid())
    assert own.is_alive
    assert not ProcessMark(pid=own.pid, create_time=own.create_time - 60).is_alive


def test_an_ended_process_is_not_alive_even_before_it_is_collected() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = mark_process(child.pid)
    assert mark.is_alive
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not mark.is_alive
    child.wait()
    assert not mark.is_alive


def test_a_secret_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        replace_secret(tmp_path / "folder" / "secret", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "folder") == 0o700
    assert mode(tmp_path / "folder" / "secret") == 0o600
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["secret"]


def test_a_new_secret_never_replaces_one(tmp_path: Path) -> None:
    create_secret(tmp_path / "secret", b"first")
    with pytest.raises(ConflictError) as caught:
        create_secret(tmp_path / "secret", b"second")
    assert caught.value.code == "exists"
    assert load_secret(tmp_path / "secret") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("open_mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, open_mode: int) -> None:
    create_secret(tmp_path / "secret", b"x")
    (tmp_path / "secret").chmod(open_mode)
    with pytest.raises(NotAuthorisedError) as caught:
        load_secret(tmp_path / "secret")
    assert caught.value.code == "file-mode"
    assert "chmod 600" in caught.value.hint


def test_a_token_is_drawn_once(tmp_path: Path) -> None:
    token = load_or_create_token(tmp_path / "token")
    assert len(bytes.fromhex(token)) == 32
    assert load_or_create_token(tmp_path / "token") == token
    assert load_or_create_token(tmp_path / "other") != token
