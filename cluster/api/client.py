"""The gateway as the command line sees it: one typed method a route, every failure an error that says what to do next.

Uses the standard library's HTTP client, because it is there in 30 ms and `pouw status` has 300 in all. A connection
serves one request: the gateway is on loopback, and nothing has to be told apart from a stale connection.
"""

import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from cluster.api.service import ChainFacts, Submission, WeightsInfo
from cluster.errors import (
    ClusterError,
    ConflictError,
    NotAuthorisedError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cluster.views import (
    AccountView,
    ArtifactView,
    BlockView,
    DealView,
    ErrorView,
    JobView,
    LogLine,
    LogQuery,
    MinerView,
    NodeView,
    PiecesView,
    ProbeView,
    ProviderView,
    ScaleView,
    SiteView,
    StorageView,
    TransactionView,
)

DEFAULT_TIMEOUT_S: Final = 30.0
_WEIGHTS_TIMEOUT_S: Final = 120.0
"""Providers that are being started again are waited for."""
_PIECES_TIMEOUT_S: Final = 1_800.0
_CHUNK_BYTES: Final = 256 * 1024
_FIRST_ERROR: Final = 400
_NOT_FOUND: Final = 404
_START_HINT: Final = "start the site with: pouw up"
_OCTETS: Final = "application/octet-stream"
_JSON: Final = "application/json"
_KINDS: Final[Mapping[int, type[ClusterError]]] = {
    400: UsageError,
    401: NotAuthorisedError,
    403: NotAuthorisedError,
    404: NotFoundError,
    409: ConflictError,
    413: UsageError,
    422: UsageError,
    503: UnreachableError,
}

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | None]


class GatewayClient:
    """A site's HTTP API, synchronously. Every method may raise `UnreachableError` and `NotAuthorisedError`."""

    def __init__(self, address: str, token: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """`address`: the gateway's URL, such as `http://127.0.0.1:8470`."""
        self.address, self._token, self._timeout_s = address, token, timeout_s

    def is_healthy(self) -> bool:
        """Whether a gateway answers at all; needs no token."""
        try:
            self._ask("GET", "/v1/health")
        except ClusterError:
            return False
        return True

    def status(self, job: str | None = None) -> SiteView:
        return self._get("/v1/status", SiteView, {"job": job})

    def nodes(self) -> tuple[NodeView, ...]:
        """Every machine of the site, looked at now."""
        return self._get("/v1/nodes", tuple[NodeView, ...])

    def miners(self) -> tuple[MinerView, ...]:
        return self._get("/v1/miners", tuple[MinerView, ...])

    def scale(self, desired: int) -> ScaleView:
        body = msgspec.json.encode({"desired": desired})
        return _decode(self._ask("POST", "/v1/scale", body, _JSON), ScaleView)

    def chain_facts(self) -> ChainFacts:
        return self._get("/v1/chain/facts", ChainFacts)

    def account(self, address: str) -> AccountView:
        return self._get(f"/v1/accounts/{address}", AccountView)

    def blocks(self, start: int, count: int) -> tuple[BlockView, ...]:
        return self._get("/v1/blocks", tuple[BlockView, ...], {"start": start, "count": count})

    def send_transaction(self, data: bytes) -> TransactionView:
        """`data`: canonical bytes of the signed envelope. What comes back is durable."""
        return _decode(self._ask("POST", "/v1/transactions", data, _OCTETS), TransactionView)

    def has_artifact(self, digest: str) -> bool:
        with self._exchange("HEAD", f"/v1/artifacts/{digest}") as answer:
            if answer.status == _NOT_FOUND:
                return False
            _check(answer)
            return True

    def put_artifact(self, digest: str, data: bytes) -> None:
        self._ask("PUT", f"/v1/artifacts/{digest}", data, _OCTETS)

    def submit_job(self, submission: Submission) -> JobView:
        return _decode(self._ask("POST", "/v1/jobs", msgspec.json.encode(submission), _JSON), JobView)

    def weights_info(self, job: str) -> WeightsInfo:
        return self._get(f"/v1/jobs/{job}/weights/info", WeightsInfo)

    def weights(self, job: str, first: int = 0, *, site_copy: bool = False) -> Iterator[bytes]:
        """The state's bytes in pieces of at most 256 KiB, in order, from chunk `first` on.

        A cut connection raises `UnreachableError`.
        """
        query = urlencode({"first": first, "site_copy": str(site_copy).lower()})
        return self._stream(f"/v1/jobs/{job}/weights?{query}")

    def _stream(self, path: str) -> Iterator[bytes]:
        with self._exchange("GET", path, timeout_s=max(self._timeout_s, _WEIGHTS_TIMEOUT_S)) as answer:
            _check(answer)
            while chunk := answer.read(_CHUNK_BYTES):
                yield chunk
            if answer.length:
                raise UnreachableError(f"the site stopped {answer.length} bytes before the end", code="cut-short")

    def storage(self) -> StorageView:
        return self._get("/v1/storage", StorageView)

    def deals(self) -> tuple[DealView, ...]:
        return self._get("/v1/storage/deals", tuple[DealView, ...])

    def providers(self) -> tuple[ProviderView, ...]:
        return self._get("/v1/storage/providers", tuple[ProviderView, ...])

    def job_artifacts(self, job: str) -> tuple[ArtifactView, ...]:
        return self._get(f"/v1/storage/jobs/{job}", tuple[ArtifactView, ...])

    def artifact_info(self, root: str) -> PiecesView:
        return self._get(f"/v1/storage/artifacts/{root}/info", PiecesView)

    def make_pieces(self, root: str, data_pieces: int, total_pieces: int) -> PiecesView:
        """Takes as long as reading the artifact for every shard."""
        query = urlencode({"data": data_pieces, "total": total_pieces})
        path = f"/v1/storage/artifacts/{root}/pieces?{query}"
        with self._exchange("POST", path, timeout_s=_PIECES_TIMEOUT_S) as answer:
            _check(answer)
            return _decode(answer.read(), PiecesView)

    def artifact(self, root: str, first: int = 0) -> Iterator[bytes]:
        """An artifact's bytes, as `weights` gives those of a job."""
        return self._stream(f"/v1/storage/artifacts/{root}?{urlencode({'first': first})}")

    def probe(self, deal: str = "") -> tuple[ProbeView, ...]:
        """Ask the holders of all deals whose id begins so for a chunk; takes as long as the slowest of them."""
        return _decode(self._ask("POST", f"/v1/storage/probe?{urlencode({'deal': deal})}"), tuple[ProbeView, ...])

    def drain_storage(self, node: str) -> None:
        self._ask("POST", f"/v1/storage/drain?{urlencode({'node': node})}")

    def logs(self, query: LogQuery | None = None, tail: int = 100) -> tuple[LogLine, ...]:
        wanted = msgspec.structs.asdict(query or LogQuery())
        return self._get("/v1/logs", tuple[LogLine, ...], {**wanted, "tail": tail})

    def shutdown(self) -> None:
        self._ask("POST", "/v1/shutdown")

    def _get(self, path: str, kind: type[Answer], query: Query | None = None) -> Answer:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return _decode(self._ask("GET", f"{path}?{urlencode(given)}" if given else path), kind)

    def _ask(self, method: str, path: str, body: bytes | None = None, media_type: str = _OCTETS) -> bytes:
        with self._exchange(method, path, body, media_type) as answer:
            _check(answer)
            return answer.read()

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        media_type: str = _OCTETS,
        *,
        timeout_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        place, wait_s = urlsplit(self.address), timeout_s or self._timeout_s
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=wait_s)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": media_type}
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it took the whole body
                connection.request(method, path, body=body, headers=headers)
            yield connection.getresponse()
        except socket.gaierror as error:
            raise UnreachableError(f"{self.address} is not an address", hint=_START_HINT) from error
        except TimeoutError as error:
            raise UnreachableError(
                f"the site at {self.address} did not answer within {wait_s:g} s",
                hint="look at what it does with: pouw logs",
                code="timeout",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"no site answers at {self.address} ({_words(error)})", hint=_START_HINT) from error
        finally:
            connection.close()


def _check(answer: http.client.HTTPResponse) -> None:
    if answer.status < _FIRST_ERROR:
        return
    kind = _KINDS.get(answer.status, ClusterError)
    body = answer.read()
    try:
        view = msgspec.json.decode(body, type=ErrorView)
    except msgspec.DecodeError as error:
        raise kind(f"the site answers {answer.status} {answer.reason}") from error
    raise kind(view.error, view.hint, view.code)


def _decode(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ClusterError(
            f"the site's answer cannot be read: {error}",
            hint="the command line and the site may differ in version: pouw down, then pouw up",
            code="answer",
        ) from error


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
