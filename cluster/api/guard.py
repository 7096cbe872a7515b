"""Who may ask: this machine only, by its own name, and only with the site's token.

The check of the Host header keeps a web page from reaching the gateway under a name that its owner points at 127.0.0.1
(DNS rebinding). Runs around everything else, so that no route can forget it; it is also the edge where an error nobody
expected becomes an answer.
"""

import hmac
import logging
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.api.failures import error_response, internal_response
from cluster.errors import ClusterError, NotAuthorisedError

logger = logging.getLogger(__name__)

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS: Final = frozenset({"/v1/health"})


class ForeignHostError(ClusterError):
    """The request was sent to a name that is not this machine's."""

    code = "foreign-host"
    http_status = 421


class Guard:
    """ASGI middleware: host and token first, the unexpected last."""

    def __init__(self, app: ASGIApp, token: str, hosts: Iterable[str] = LOOPBACK_HOSTS) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check(request)
        except ClusterError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._forward(request, receive, send)

    def _check(self, request: Request) -> None:
        host = host_name(request.headers.get("host", ""))
        if host not in self._hosts:
            raise ForeignHostError(f"this site does not answer for the host {host!r}")
        if request.url.path in OPEN_PATHS:
            return
        offered = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(offered, self._expected):
            raise NotAuthorisedError(
                "the site's token is missing or wrong",
                hint="use the POUW_HOME that the site was started with",
                code="token",
            )

    async def _forward(self, request: Request, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(request.scope, receive, noting_send)
        except Exception:
            logger.exception("%s %s failed", request.method, request.url.path)
            if started:
                raise  # half an answer is out: the server drops the connection, so the client sees that it is cut
            await internal_response()(request.scope, receive, send)


def host_name(header: str) -> str:
    """The name or address in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
