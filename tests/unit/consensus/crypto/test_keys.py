"""Ed25519 keys."""

import copy
import pickle  # noqa: TID251  # what must not be possible is tried

import pytest

from consensus.crypto.keys import SecretKey, is_valid_signature
from consensus.primitives.integers import PublicKey, Signature
from tests.kit.genesis import public_key, secret_key


def test_agrees_with_the_first_test_of_rfc_8032() -> None:
    key = SecretKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


def test_accepts_its_own_signature_only() -> None:
    signature = secret_key("a").sign(b"message")
    assert is_valid_signature(public_key("a"), b"message", signature)
    assert not is_valid_signature(public_key("a"), b"another", signature)
    assert not is_valid_signature(public_key("b"), b"message", signature)
    assert not is_valid_signature(public_key("a"), b"message", Signature(bytes(64)))


def test_refuses_keys_and_signatures_that_are_none() -> None:
    assert not is_valid_signature(PublicKey(bytes(31)), b"message", Signature(bytes(64)))
    assert not is_valid_signature(public_key("a"), b"message", Signature(b"short"))


def test_never_leaves_its_process() -> None:
    with pytest.raises(TypeError, match="never leaves"):
        pickle.dumps(secret_key("a"))
    with pytest.raises(TypeError, match="never leaves"):
        copy.copy(secret_key("a"))


def test_does_not_show_its_secret() -> None:
    assert repr(secret_key("a")) == f"SecretKey({public_key('a').hex()[:16]}...)"
