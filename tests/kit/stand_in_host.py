"""A host process without Ray, by the contract of `cluster.launch.host`: a real gateway over a site in memory.

What it does on the way down or instead of coming up is chosen by the environment variable `STAND_IN`.
"""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec
import uvicorn

from cluster.api.app import build_app
from cluster.config import HomeLayout, remove_site_file, write_site_file
from cluster.secret_file import load_or_create_token, replace_secret
from cluster.settings import SiteSettings
from cluster.views import ErrorView
from tests.kit.memory_site import MemorySite
from tests.kit.site_record import site_record


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    options = parser.parse_args()
    home, manner = HomeLayout(root=options.home), os.environ.get("STAND_IN", "")
    settings = msgspec.json.decode(options.settings.read_bytes(), type=SiteSettings)
    if manner == "explains":
        view = ErrorView(error="the chain is damaged", code="storage", hint="restore it")
        replace_secret(home.host_error, msgspec.json.encode(view))
        return 1
    if manner == "crashes":
        sys.stdout.write("something went wrong in line 12\n")
        return 3
    if manner == "hangs":
        time.sleep(60)
    serve(home, settings, manner)
    return 0


class StoppableSite(MemorySite):
    def __init__(self, manner: str) -> None:
        super().__init__()
        self.manner = manner
        self.server: uvicorn.Server | None = None

    async def shutdown(self) -> None:
        if self.manner not in {"deaf", "stubborn"}:
            self.server.should_exit = True


def serve(home: HomeLayout, settings: SiteSettings, manner: str) -> None:
    service = StoppableSite(manner)
    config = uvicorn.Config(build_app(service, load_or_create_token(home.token)), log_config=None, lifespan="off")
    service.server = uvicorn.Server(config)
    if manner == "stubborn":
        service.server.capture_signals = _ignoring_signals
    with socket.create_server(("127.0.0.1", settings.port)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        site = site_record(os.getpid(), address=address, miners=settings.miners, supervisors=settings.supervisors)
        write_site_file(home, site)
        try:
            service.server.run([listener])
        finally:
            remove_site_file(home)


def _ignoring_signals() -> contextlib.AbstractContextManager[None]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return contextlib.nullcontext()


if __name__ == "__main__":
    sys.exit(main())
