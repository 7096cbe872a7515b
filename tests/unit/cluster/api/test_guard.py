"""Only this machine, by its own name, with the token; every refusal is an `ErrorView`."""

import http.client

import msgspec
import pytest

from cluster.api.app import build_app
from cluster.api.encoding import ARTIFACT_BYTES, JSON_BYTES
from cluster.views import ErrorView
from tests.kit.memory_site import CHAIN_ID, MemorySite
from tests.kit.served_site import TOKEN, ServedSite

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def ask(
    site: ServedSite, method: str, path: str, headers: dict[str, str] | None = None, body: object = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {}, encode_chunked=False)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def refusal(answer: tuple[int, bytes]) -> tuple[int, str]:
    status, body = answer
    return status, msgspec.json.decode(body, type=ErrorView).code


def test_health_needs_no_token(served: ServedSite) -> None:
    status, body = ask(served, "GET", "/v1/health")
    assert (status, msgspec.json.decode(body)) == (200, {"ok": True, "site": CHAIN_ID.hex()})


def test_the_token_opens_the_rest(served: ServedSite) -> None:
    assert ask(served, "GET", "/v1/miners", BEARER)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": f"Bearer {TOKEN} "[:-2]}],
    ids=["none", "wrong", "not-bearer", "cut"],
)
@pytest.mark.parametrize("path", ["/v1/status", "/v1/nothing", "/v1/health/", "/docs", "/openapi.json"])
def test_without_the_token_nothing_else_is_told(served: ServedSite, headers: dict[str, str], path: str) -> None:
    assert refusal(ask(served, "GET", path, headers)) == (401, "token")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80"])
@pytest.mark.parametrize("path", ["/v1/health", "/v1/status"])
def test_a_foreign_name_is_refused_even_with_the_token(served: ServedSite, host: str, path: str) -> None:
    assert refusal(ask(served, "GET", path, BEARER | {"Host": host})) == (421, "foreign-host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:80"])
def test_names_of_this_machine_are_fine(served: ServedSite, host: str) -> None:
    assert ask(served, "GET", "/v1/health", {"Host": host})[0] == 200


def test_there_is_no_app_without_a_token() -> None:
    with pytest.raises(ValueError, match="token"):
        build_app(MemorySite(), "")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/v1/nothing", "/"])
def test_unknown_routes_say_so(served: ServedSite, path: str) -> None:
    assert refusal(ask(served, "GET", path, BEARER)) == (404, "route")


def test_a_wrong_method_says_so(served: ServedSite) -> None:
    assert refusal(ask(served, "DELETE", "/v1/status", BEARER)) == (405, "route")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/xyz",
        "/v1/accounts/" + "A" * 64,
        "/v1/blocks?start=-1",
        "/v1/blocks?count=1001",
        "/v1/logs?tail=x",
        "/v1/status?job=..",
        "/v1/jobs/12/weights",
    ],
)
def test_bad_parameters_are_named(served: ServedSite, path: str) -> None:
    assert refusal(ask(served, "GET", path, BEARER)) == (422, "request")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"desired": "2"}', b'{"desired": -1}', b'{"desired": 2, "more": 1}', b"[" * 50_000],
    ids=["empty", "cut", "list", "text", "negative", "unknown", "deep"],
)
def test_a_body_of_another_shape_is_refused(served: ServedSite, body: bytes) -> None:
    assert refusal(ask(served, "POST", "/v1/scale", BEARER, body)) == (422, "request")
    assert served.service.desired == 1


def test_a_body_that_announces_too_much_is_refused_unread(served: ServedSite) -> None:
    headers = BEARER | {"Content-Length": str(ARTIFACT_BYTES + 1)}
    answer = ask(served, "PUT", f"/v1/artifacts/{'0' * 64}", headers)
    assert refusal(answer) == (413, "too-large")


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(served: ServedSite) -> None:
    chunk = b"%x\r\n%s\r\n" % (JSON_BYTES, b" " * JSON_BYTES)
    headers = BEARER | {"Transfer-Encoding": "chunked"}
    assert refusal(ask(served, "POST", "/v1/scale", headers, chunk * 2 + b"0\r\n\r\n")) == (413, "too-large")
