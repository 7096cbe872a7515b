import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.cli.main import main
from cluster.config import HomeLayout, write_site_file
from cluster.secret_file import replace_secret
from tests.kit.command import Outcome, Pouw
from tests.kit.memory_site import MemorySite
from tests.kit.served_site import TOKEN, ServedSite, serve
from tests.kit.site_record import site_record


@pytest.fixture(scope="session")
def server() -> Iterator[ServedSite]:
    with serve(MemorySite()) as site:
        yield site


@pytest.fixture
def served(server: ServedSite) -> ServedSite:
    """A site as new. The server behind it is shared: starting one takes a fifth of a second."""
    server.service.reset()
    return server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HomeLayout:
    """A home of its own without a site."""
    layout = HomeLayout(root=tmp_path / "home")
    layout.create()
    monkeypatch.setenv("POUW_HOME", str(layout.root))
    for variable in ("POUW_ADDRESS", "POUW_TOKEN", "POUW_PASSPHRASE", "POUW_RAY_TOKEN", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    return layout


@pytest.fixture
def site(served: ServedSite, home: HomeLayout) -> MemorySite:
    """A home with a running site."""
    write_site_file(home, site_record(os.getpid(), address=served.address))
    replace_secret(home.token, TOKEN.encode())
    return served.service


@pytest.fixture
def pouw(capsys: pytest.CaptureFixture[str]) -> Pouw:
    """Run one command in this process."""

    def run(*arguments: object) -> Outcome:
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run
