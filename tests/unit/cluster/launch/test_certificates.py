"""A site's own authority: it signs one certificate a machine, and both sides of a connection are checked against it."""

import datetime as dt
import socket
import ssl
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from cluster.config import HomeLayout
from cluster.errors import UsageError
from cluster.launch.certificates import Credentials, issue, keep, read_credentials, tls_environment

NOW = dt.datetime.now(dt.UTC)


def machine(root: Path, authority: HomeLayout, address: str = "127.0.0.1") -> HomeLayout:
    home = HomeLayout(root=root)
    keep(home, issue(authority, address, "t", NOW))
    return home


def context(home: HomeLayout, protocol: int) -> ssl.SSLContext:
    made = ssl.SSLContext(protocol)
    made.load_cert_chain(home.node_certificate, home.node_key)
    made.load_verify_locations(home.trusted_authority)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def handshake(server: HomeLayout, client: HomeLayout, name: str = "127.0.0.1") -> list[BaseException]:
    """What went wrong on either side of one connection."""
    errors: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(20)
            try:
                with context(server, ssl.PROTOCOL_TLS_SERVER).wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.sendall(wrapped.recv(1))
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            raw = socket.create_connection(listener.getsockname(), 20)
            with context(client, ssl.PROTOCOL_TLS_CLIENT).wrap_socket(raw, server_hostname=name) as wrapped:
                wrapped.sendall(b"x")
                if wrapped.recv(1) != b"x":
                    errors.append(ConnectionError("closed"))
        except OSError as error:
            errors.append(error)
        thread.join(20)
    return errors


def test_machines_of_one_site_connect_and_others_do_not(home: HomeLayout, tmp_path: Path) -> None:
    other = HomeLayout(root=tmp_path / "other-site")
    other.create()
    ours, guest = machine(tmp_path / "a", home), machine(tmp_path / "b", home, "127.0.0.3")
    stranger = machine(tmp_path / "c", other)
    assert handshake(ours, guest) == []
    assert handshake(guest, ours, "127.0.0.3") == []
    assert handshake(ours, stranger)
    assert handshake(stranger, ours)
    assert handshake(ours, guest, "127.0.0.9")


def test_keys_are_private_and_the_authority_is_made_once(home: HomeLayout, tmp_path: Path) -> None:
    first, second = issue(home, "127.0.0.3", "t", NOW), issue(home, "node.example", "t", NOW)
    assert first.authority == second.authority
    assert first.key != second.key
    guest = machine(tmp_path / "g", home)
    for path in (home.authority_key, guest.node_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not guest.authority_key.exists()
    assert not guest.ray_token.exists()


def test_tls_is_switched_by_the_machines_certificate(home: HomeLayout) -> None:
    assert tls_environment(home) == {}
    keep(home, issue(home, "127.0.0.2", "t", NOW))
    variables = tls_environment(home)
    assert variables["RAY_USE_TLS"] == "1"
    assert all(Path(variables[name]).exists() for name in variables if name != "RAY_USE_TLS")
    keep(home, Credentials(token="t"))  # the site has TLS no more
    assert tls_environment(home) == {}
    assert home.authority_key.exists()


def test_a_bare_token_and_credentials_are_told_apart(home: HomeLayout) -> None:
    assert read_credentials("ab12") == Credentials(token="ab12")
    full = issue(home, "127.0.0.3", "t", NOW)
    assert read_credentials(msgspec.json.encode(full).decode()) == full
    for nothing in ('{"tok', ""):
        with pytest.raises(UsageError):
            read_credentials(nothing)
