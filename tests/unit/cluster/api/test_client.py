"""The client against a real server: what the site says arrives, and what fails keeps its kind, code and hint."""

import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import cast

import msgspec
import pytest

from cluster.api.client import GatewayClient
from cluster.api.service import Submission
from cluster.errors import (
    ClusterError,
    ConflictError,
    ExitCode,
    NotAuthorisedError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cluster.views import LogQuery
from cluster.wallet.transactions import sign_transfer
from consensus.crypto.keys import SecretKey
from consensus.errors import EncodingError, InvalidTransactionError, Reject, SignatureError
from consensus.primitives.digest import CHUNK_BYTES, bulk_digest
from consensus.primitives.encoding import encode
from consensus.primitives.integers import Credits, Sequence
from tests.kit.memory_site import (
    CHAIN_ID,
    DEAL,
    JOB,
    JOB_ID,
    LINES,
    MINER,
    PROBE,
    PROVIDER,
    STATE,
    STATE_DIGEST,
    STORAGE,
    block,
)
from tests.kit.served_site import ServedSite

KEY = SecretKey(bytes(32))
ADDRESS = KEY.public_key.hex()


def test_views_arrive_as_they_were_sent(served: ServedSite) -> None:
    client = served.client()
    assert client.is_healthy()
    assert client.status().jobs == (JOB,)
    assert client.status(JOB_ID).chain.height == 25
    assert client.miners() == (MINER,)
    assert client.chain_facts().chain_id == CHAIN_ID.hex()
    assert client.blocks(24, 10) == (block(24), block(25))
    assert client.account(ADDRESS).balance == "0"


def test_scaling_and_shutdown_reach_the_site(served: ServedSite) -> None:
    assert served.client().scale(3).desired == 3
    served.client().shutdown()
    assert (served.service.desired, served.service.is_down) == (3, True)


def test_log_lines_are_filtered_by_the_site(served: ServedSite) -> None:
    assert served.client().logs(tail=2) == LINES[-2:]
    assert served.client().logs(LogQuery(job=JOB_ID, role="miner"), tail=0) == ()
    assert served.client().logs(LogQuery(role="supervisor")) == ()


def test_a_transaction_is_taken_once(served: ServedSite) -> None:
    served.service.give(ADDRESS, "10")
    signed = sign_transfer(KEY, CHAIN_ID, sequence=Sequence(0), recipient=KEY.public_key, amount=Credits(5))
    assert served.client().send_transaction(encode(signed)).transaction == signed.digest.hex()
    with pytest.raises(ConflictError) as caught:
        served.client().send_transaction(encode(signed))
    assert caught.value.code == "sequence"


def test_an_artifact_is_stored_under_its_digest_only(served: ServedSite) -> None:
    client, digest = served.client(), bulk_digest(b"data").hex()
    assert not client.has_artifact(digest)
    with pytest.raises(UsageError) as caught:
        client.put_artifact(digest, b"other")
    assert caught.value.code == "artifact-digest"
    client.put_artifact(digest, b"data")
    assert client.has_artifact(digest)


def test_weights_arrive_whole_and_in_order(served: ServedSite) -> None:
    info = served.client().weights_info(JOB_ID)
    assert (info.state_digest, info.size_bytes) == (STATE_DIGEST, len(STATE))
    assert b"".join(served.client().weights(JOB_ID)) == STATE


@pytest.mark.parametrize("state", [b"", STATE[:-1], STATE[:1000]])
def test_weights_that_end_early_are_noticed(served: ServedSite, state: bytes) -> None:
    served.service.state = state
    with pytest.raises(ClusterError):
        b"".join(served.client().weights(JOB_ID))


def test_missing_things_are_not_found(served: ServedSite) -> None:
    for ask in (served.client().status, served.client().weights_info, lambda job: list(served.client().weights(job))):
        with pytest.raises(NotFoundError) as caught:
            ask("0" * 64)
        assert caught.value.code == "no-job"


@pytest.mark.parametrize(
    ("failure", "kind", "code", "exit_code"),
    [
        (UsageError("m", "h", "c"), UsageError, "c", ExitCode.USAGE),
        (NotFoundError("m", "h", "c"), NotFoundError, "c", ExitCode.NOT_FOUND),
        (NotAuthorisedError("m", "h", "c"), NotAuthorisedError, "c", ExitCode.NOT_AUTHORISED),
        (ConflictError("m", "h", "c"), ConflictError, "c", ExitCode.FAILED),
        (UnreachableError("m", "h", "c"), UnreachableError, "c", ExitCode.UNREACHABLE),
        (ClusterError("m", "h", "c"), ClusterError, "c", ExitCode.FAILED),
        (InvalidTransactionError(Reject.FUNDS, balance=1), ConflictError, "funds", ExitCode.FAILED),
        (EncodingError("m"), UsageError, "encoding", ExitCode.USAGE),
        (SignatureError("m"), UsageError, "signature", ExitCode.USAGE),
    ],
)
def test_errors_keep_their_kind_code_and_hint(
    served: ServedSite, failure: Exception, kind: type[ClusterError], code: str, exit_code: ExitCode
) -> None:
    served.service.failure = failure
    with pytest.raises(ClusterError) as caught:
        served.client().status()
    assert (type(caught.value), caught.value.code, caught.value.exit_code) == (kind, code, exit_code)
    if isinstance(failure, ClusterError):
        assert (caught.value.message, caught.value.hint) == ("m", "h")


def test_an_unexpected_error_is_logged_there_and_not_told_here(
    served: ServedSite, caplog: pytest.LogCaptureFixture
) -> None:
    served.service.failure = RuntimeError("a secret detail")
    with pytest.raises(ClusterError) as caught:
        served.client().status()
    assert (caught.value.code, caught.value.exit_code) == ("internal", ExitCode.FAILED)
    assert "secret" not in caught.value.message + caught.value.hint
    assert "a secret detail" in caplog.text
    assert served.client().is_healthy()


def test_a_wrong_token_is_not_authorised(served: ServedSite) -> None:
    with pytest.raises(NotAuthorisedError) as caught:
        served.client("wrong").status()
    assert caught.value.code == "token"
    assert served.client("wrong").is_healthy()


def test_a_submission_that_is_too_large_is_refused(served: ServedSite) -> None:
    with pytest.raises(UsageError) as caught:
        served.client().send_transaction(bytes(5_000_000))
    assert caught.value.code == "too-large"


def test_a_malformed_submission_is_refused(served: ServedSite) -> None:
    with pytest.raises(UsageError) as caught:
        served.client().submit_job(Submission(transaction=b"x", spec=b"", manifest=b""))
    assert caught.value.code == "encoding"


def test_nobody_there_says_how_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = GatewayClient(f"http://127.0.0.1:{port}", "t")
    assert not client.is_healthy()
    with pytest.raises(UnreachableError) as caught:
        client.status()
    assert "pouw up" in caught.value.hint
    assert caught.value.exit_code == ExitCode.UNREACHABLE


@contextmanager
def strange_server(talk: Callable[[socket.socket], None]) -> Iterator[GatewayClient]:
    """One connection of a server that does not speak as it should."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield GatewayClient(f"http://127.0.0.1:{listener.getsockname()[1]}", "t", timeout_s=0.3)
        thread.join()


def test_silence_is_a_timeout() -> None:
    heard = threading.Event()
    with strange_server(lambda _: heard.wait(10) and None) as client:
        with pytest.raises(UnreachableError) as caught:
            client.status()
        heard.set()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", UnreachableError),
        (b"garbage\r\n\r\n", UnreachableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", UnreachableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ClusterError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", ClusterError),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nhi", NotFoundError),
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", ClusterError),
    ],
)
def test_a_strange_answer_is_an_error_of_the_right_kind(answer: bytes, kind: type[ClusterError]) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with strange_server(talk) as client, pytest.raises(ClusterError) as caught:
        client.status()
    assert type(caught.value) is kind


def test_bytes_cross_json_unharmed() -> None:
    every = bytes(range(256))
    submission = Submission(transaction=every, spec=every[::-1], manifest=b"")
    assert msgspec.json.decode(msgspec.json.encode(submission), type=Submission) == submission


@pytest.mark.parametrize("first", [2, 3, 10**9])
def test_a_chunk_behind_the_end_is_a_mistake(served: ServedSite, first: int) -> None:
    with pytest.raises(UsageError, match=f"there is no chunk {first}"):
        list(served.client().weights(JOB_ID, first))


@pytest.mark.parametrize("first", [0, 1])
def test_weights_come_from_any_chunk_on(served: ServedSite, first: int) -> None:
    assert b"".join(served.client().weights(JOB_ID, first)) == STATE[first * CHUNK_BYTES :]


def test_storage_is_told_as_it_is(served: ServedSite) -> None:
    client = served.client()
    assert client.storage() == STORAGE
    assert client.deals() == (DEAL,)
    assert client.providers() == (PROVIDER,)
    assert client.probe() == client.probe("3f2a") == (PROBE,)
    assert client.probe("00") == ()


@pytest.mark.parametrize("deal", ["3F2A", "no", "3f2a/..", "f" * 65, "%00"])
def test_what_is_no_beginning_of_an_id_is_refused(served: ServedSite, deal: str) -> None:
    with pytest.raises(UsageError):
        served.client().probe(deal)


@pytest.mark.parametrize("node", ["", "x" * 65])
def test_what_is_no_machine_is_refused(served: ServedSite, node: str) -> None:
    with pytest.raises(UsageError):
        served.client().drain_storage(node)
    assert served.service.drained == []


def test_a_reader_that_goes_away_ends_the_reading(served: ServedSite) -> None:
    """Nothing more is asked of providers for somebody who has gone."""
    served.service.hangs = True
    chunks = served.client().weights(JOB_ID)
    assert next(chunks) == STATE[:CHUNK_BYTES]
    assert not served.service.reading_ended.is_set()
    cast("Generator[bytes]", chunks).close()
    assert served.service.reading_ended.wait(10)
