"""Keys at rest are encrypted and private; keys in memory do not leave the process."""

import copy
import pickle  # noqa: TID251 - to see it refused
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cluster.config import HomeLayout
from cluster.errors import ConflictError, ExitCode, NotAuthorisedError, NotFoundError, UsageError
from cluster.secret_file import replace_secret
from cluster.wallet.keystore import Keystore, client_keystore, load_passphrase, site_keystore


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(folder=tmp_path / "keys", passphrase=b"correct")


def test_a_key_is_read_back(keystore: Keystore) -> None:
    made = keystore.create("client")
    assert keystore.load("client").public_key == made.public_key
    assert keystore.load_or_create("client").public_key == made.public_key
    assert keystore.load_or_create("other").public_key != made.public_key
    assert keystore.names() == ["client", "other"]


def test_files_are_private_and_encrypted(keystore: Keystore) -> None:
    keystore.create("client")
    file = keystore.folder / "client.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert keystore.folder.stat().st_mode & 0o777 == 0o700
    assert file.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_a_wrong_passphrase_is_not_authorised(keystore: Keystore) -> None:
    keystore.create("client")
    with pytest.raises(NotAuthorisedError) as caught:
        Keystore(folder=keystore.folder, passphrase=b"wrong").load("client")
    assert (caught.value.code, caught.value.exit_code) == ("passphrase", ExitCode.NOT_AUTHORISED)


def test_a_file_that_others_may_read_is_refused(keystore: Keystore) -> None:
    keystore.create("client")
    (keystore.folder / "client.pem").chmod(0o644)
    with pytest.raises(NotAuthorisedError) as caught:
        keystore.load("client")
    assert caught.value.code == "file-mode"


@pytest.mark.parametrize(
    ("pem", "code"),
    [
        (b"not a key", "passphrase"),
        (Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "passphrase"),
        (
            generate_private_key(SECP256R1()).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"correct")
            ),
            "key-kind",
        ),
    ],
    ids=["damaged", "not-encrypted", "other-kind"],
)
def test_what_is_no_encrypted_ed25519_key_is_refused(keystore: Keystore, pem: bytes, code: str) -> None:
    replace_secret(keystore.folder / "client.pem", pem)
    with pytest.raises(NotAuthorisedError) as caught:
        keystore.load("client")
    assert caught.value.code == code


def test_a_missing_key_is_not_found(keystore: Keystore) -> None:
    with pytest.raises(NotFoundError) as caught:
        keystore.load("client")
    assert caught.value.code == "no-key"


def test_a_key_is_never_replaced(keystore: Keystore) -> None:
    made = keystore.create("client")
    with pytest.raises(ConflictError) as caught:
        keystore.create("client")
    assert caught.value.code == "key-exists"
    assert keystore.load("client").public_key == made.public_key


@pytest.mark.parametrize("name", ["", "../client", "a/b", ".hidden", "Upper", "a" * 64, "a b"])
def test_a_name_cannot_leave_the_folder(keystore: Keystore, name: str) -> None:
    for use in (keystore.create, keystore.load):
        with pytest.raises(UsageError) as caught:
            use(name)
        assert caught.value.code == "key-name"


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_key_does_not_leave_its_process(keystore: Keystore, leave: object) -> None:
    key = keystore.create("client")
    with pytest.raises(TypeError, match="never leaves"):
        leave(key)


def test_nothing_secret_is_shown(keystore: Keystore) -> None:
    assert "correct" not in repr(keystore)
    assert keystore.create("client").public_key.hex() not in repr(keystore.load("client"))


def test_the_environment_names_the_passphrase(home: HomeLayout) -> None:
    assert load_passphrase(home, {"POUW_PASSPHRASE": "given"}) == b"given"
    assert not home.passphrase.exists()


def test_a_home_draws_its_own_passphrase_once(home: HomeLayout) -> None:
    first = load_passphrase(home, {})
    assert home.passphrase.stat().st_mode & 0o777 == 0o600
    assert load_passphrase(home, {}) == first
    home.passphrase.chmod(0o644)
    with pytest.raises(NotAuthorisedError):
        load_passphrase(home, {})


def test_the_operator_and_the_site_have_keys_of_their_own(home: HomeLayout) -> None:
    assert client_keystore(home).create("a").public_key != site_keystore(home).create("a").public_key
