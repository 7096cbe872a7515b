"""A `MemorySite` behind a real HTTP server on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from cluster.api.app import build_app
from cluster.api.client import GatewayClient
from tests.kit.memory_site import MemorySite

TOKEN = "a-token-of-tests"


@dataclass(frozen=True)
class ServedSite:
    service: MemorySite
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, token: str = TOKEN) -> GatewayClient:
        return GatewayClient(self.address, token, timeout_s=10)


@contextmanager
def serve(service: MemorySite) -> Iterator[ServedSite]:
    config = uvicorn.Config(build_app(service, TOKEN), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield ServedSite(service=service, port=listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
