"""status, miners, scale, logs, down: what the site says, for people and for programs."""

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from cluster.config import HomeLayout
from cluster.errors import ExitCode
from cluster.views import JobView, LogLine, SiteView
from tests.kit.command import Pouw
from tests.kit.memory_site import JOB, JOB_ID, LINES, MINER, MemorySite
from tests.kit.served_site import TOKEN, ServedSite

NEED_A_SITE = [
    ["status"],
    ["jobs"],
    ["miners"],
    ["scale", "2"],
    ["logs"],
    ["cancel", "digits"],
    ["fetch", "digits", "-o", "x"],
    ["chain", "show"],
]


@pytest.mark.parametrize("arguments", NEED_A_SITE, ids=" ".join)
def test_without_a_site_exits_3_and_says_how_to_start(pouw: Pouw, home: HomeLayout, arguments: list[str]) -> None:
    outcome = pouw(*arguments)
    assert (outcome.code, outcome.out) == (ExitCode.UNREACHABLE, "")
    assert "hint: start it with: pouw up" in outcome.err
    assert pouw(*arguments, "--json").error_code == "not-up"


@pytest.mark.parametrize("arguments", NEED_A_SITE, ids=" ".join)
def test_with_a_wrong_token_exits_5(pouw: Pouw, home: HomeLayout, site: MemorySite, arguments: list[str]) -> None:
    home.token.write_text("wrong")
    outcome = pouw(*arguments, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_AUTHORISED, "token")


def test_a_token_that_others_may_read_is_not_used(pouw: Pouw, home: HomeLayout, site: MemorySite) -> None:
    home.token.chmod(0o644)
    outcome = pouw("status", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_AUTHORISED, "file-mode")


def test_a_missing_token_is_not_authorised(pouw: Pouw, home: HomeLayout, site: MemorySite) -> None:
    home.token.unlink()
    outcome = pouw("status", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_AUTHORISED, "no-token")


def test_the_environment_can_name_the_site(
    pouw: Pouw, home: HomeLayout, served: ServedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POUW_ADDRESS", served.address)
    monkeypatch.setenv("POUW_TOKEN", TOKEN)
    assert pouw("status", "--json").code == ExitCode.OK


def test_status_in_json_is_the_view(pouw: Pouw, site: MemorySite) -> None:
    outcome = pouw("status", "--json")
    view = msgspec.json.decode(outcome.out, type=SiteView)
    assert (view.cluster.nodes, view.chain.height, view.jobs, outcome.err) == (1, 25, (JOB,), "")


@pytest.mark.parametrize("name", [JOB_ID, "3f2a", "digits"])
def test_a_job_is_found_by_id_beginning_or_name(pouw: Pouw, site: MemorySite, name: str) -> None:
    site.jobs["77" * 32] = JobView(job_id="77" * 32, name="other", state="failed", round=0, rounds=1)
    jobs = msgspec.json.decode(pouw("status", name, "--json").out, type=SiteView).jobs
    assert [job.job_id for job in jobs] == [JOB_ID]


@pytest.mark.parametrize("name", ["none", "0" * 64])
def test_an_unknown_job_exits_4(pouw: Pouw, site: MemorySite, name: str) -> None:
    outcome = pouw("status", name, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_FOUND, "no-job")


def test_a_name_that_several_jobs_have_exits_2(pouw: Pouw, site: MemorySite) -> None:
    site.jobs["77" * 32] = JobView(job_id="77" * 32, name="digits", state="failed", round=0, rounds=1)
    outcome = pouw("status", "digits", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.USAGE, "ambiguous")


def test_status_for_people_shows_jobs_and_processes(pouw: Pouw, site: MemorySite) -> None:
    text = pouw("status").out
    for words in ("height 25", "digits", "completed", "3/3", "accuracy 0.9700", "supervisor-0", "42"):
        assert words in text


def test_text_of_others_cannot_write_to_the_terminal(pouw: Pouw, site: MemorySite) -> None:
    evil = JobView(job_id="77" * 32, name="a\x1b[2Jb[red]c", state="failed", round=0, rounds=1, reason="\x1b]0;x\x07")
    site.jobs = {evil.job_id: evil}
    site.lines = (LogLine(time="t", role="miner", level="info", message="\x1b[31m"),)
    text = pouw("status").out + pouw("jobs").out + pouw("logs").out
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "b[red]c" in text


def test_jobs_are_listed(pouw: Pouw, site: MemorySite) -> None:
    assert msgspec.json.decode(pouw("jobs", "--json").out, type=tuple[JobView, ...]) == (JOB,)
    assert "digits" in pouw("jobs").out
    site.jobs.clear()
    assert "pouw submit" in pouw("jobs").out


def test_miners_are_listed_with_the_reason_they_idle(pouw: Pouw, site: MemorySite) -> None:
    assert msgspec.json.decode(pouw("miners", "--json").out)[0]["pid"] == MINER.pid
    assert "no job" in pouw("miners").out


def test_scale_says_what_is_wanted_and_what_runs(pouw: Pouw, site: MemorySite) -> None:
    assert pouw("scale", 3, "--json").json == {"desired": 3, "running": 1, "draining": 0}
    assert "1 of 2 miners" in pouw("scale", 2).out
    assert site.desired == 2


def test_logs_show_the_last_lines(pouw: Pouw, site: MemorySite) -> None:
    shown = msgspec.json.decode(pouw("logs", "3f2a", "--tail", 2, "--json").out, type=tuple[LogLine, ...])
    assert shown == LINES[-2:]
    assert len(pouw("logs").out.splitlines()) == len(LINES)
    assert pouw("logs", "--role", "supervisor").out == ""


def test_logs_can_be_followed_until_interrupted(site: MemorySite) -> None:
    command = [sys.executable, "-m", "cluster.cli.main", "logs", "--follow", "--tail", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert msgspec.json.decode(process.stdout.readline(), type=LogLine) == LINES[-1]
        new = LogLine(time="later", role="miner", level="info", message="new")
        site.lines = (*LINES, new)
        assert msgspec.json.decode(process.stdout.readline(), type=LogLine) == new
        process.send_signal(signal.SIGINT)
        assert msgspec.json.decode(process.stdout.readline())["code"] == "interrupted"
        assert process.wait(10) == ExitCode.INTERRUPTED
        assert process.stderr.read() == ""


def test_blocks_are_shown_from_the_end(pouw: Pouw, site: MemorySite) -> None:
    heights = [block["height"] for block in msgspec.json.decode(pouw("chain", "show", "--count", 3, "--json").out)]
    assert heights == [23, 24, 25]
    first = pouw("chain", "show", "--start", 1, "--count", 1).out
    assert "round-commit" in first


def test_an_unexpected_error_is_one_line_and_a_file(
    pouw: Pouw, home: HomeLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.client.connection.read_site_file", lambda _: 1 / 0)
    outcome = pouw("status")
    assert (outcome.code, outcome.out) == (ExitCode.FAILED, "")
    assert "Traceback" not in outcome.err
    assert str(home.crash_log) in outcome.err
    assert "ZeroDivisionError" in home.crash_log.read_text()
    assert home.crash_log.stat().st_mode & 0o777 == 0o600
    assert pouw("status", "--json").error_code == "internal"


def test_down_without_a_site_is_fine(pouw: Pouw, home: HomeLayout) -> None:
    outcome = pouw("down", "--json")
    assert (outcome.code, outcome.json["stopped"]) == (ExitCode.OK, False)
    assert "no site was running" in pouw("down").out


def test_up_refuses_when_it_is_up(pouw: Pouw, site: MemorySite) -> None:
    outcome = pouw("up", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "up")


def test_up_refuses_a_port_that_is_taken(pouw: Pouw, home: HomeLayout, served: ServedSite) -> None:
    outcome = pouw("up", "--port", served.port, "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.FAILED, "port-in-use")


def test_join_needs_the_token_of_ray(pouw: Pouw, home: HomeLayout) -> None:
    outcome = pouw("join", "127.0.0.1:6379", "--json")
    assert (outcome.code, outcome.error_code) == (ExitCode.NOT_AUTHORISED, "no-ray-token")


def test_a_closed_pipe_is_no_traceback(site: MemorySite) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli.main", "status"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr
    assert done.returncode == ExitCode.FAILED
