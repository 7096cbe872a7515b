"""Keys at rest: one encrypted PKCS #8 PEM file a key, private to its owner, under one passphrase.

Trusts the file system's modes to keep others out and refuses files whose mode does not. A key that was read stays
inside `SecretKey`, which cannot be pickled; nothing here hands out the secret bytes.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from cluster.config import HomeLayout
from cluster.errors import ConflictError, NotAuthorisedError, NotFoundError, UsageError
from cluster.secret_file import create_secret, load_or_create_token, load_secret, make_private_folder
from consensus.crypto.keys import SecretKey

PASSPHRASE_VARIABLE: Final = "POUW_PASSPHRASE"  # noqa: S105 - the name of a variable
_SUFFIX: Final = ".pem"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def load_passphrase(home: HomeLayout, environment: Mapping[str, str] = os.environ) -> bytes:
    """The passphrase of this home's keys: `POUW_PASSPHRASE`, else the home's own file, made with a random one.

    Raises:
        NotAuthorisedError: others may read the file.
    """
    given = environment.get(PASSPHRASE_VARIABLE)
    return given.encode() if given else load_or_create_token(home.passphrase).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """The keys of one folder."""

    folder: Path
    passphrase: bytes = field(repr=False)

    def names(self) -> list[str]:
        """Names of the keys, sorted."""
        return sorted(path.stem for path in self.folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.stem))

    def create(self, name: str) -> SecretKey:
        """Draw a new key from the system's randomness and store it.

        Raises:
            UsageError: the name is not usable as a file name.
            ConflictError: there is a key of that name.
        """
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self.passphrase))
        make_private_folder(self.folder)
        try:
            create_secret(self._path(name), pem)
        except ConflictError as error:
            raise ConflictError(
                f"there is a key named {name!r} already", hint="choose another name", code="key-exists"
            ) from error
        return SecretKey(private.private_bytes_raw())

    def load(self, name: str) -> SecretKey:
        """Decrypt a stored key.

        Raises:
            NotFoundError: there is no key of that name.
            NotAuthorisedError: wrong passphrase, others may read the file, or it holds no encrypted Ed25519 key.
        """
        path = self._path(name)
        try:
            pem = load_secret(path)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"there is no key named {name!r}", hint=f"make one with: pouw wallet new {name}", code="no-key"
            ) from error
        return SecretKey(self._decrypt(pem, path).private_bytes_raw())

    def load_or_create(self, name: str) -> SecretKey:
        """The stored key, or a new one under that name."""
        try:
            return self.load(name)
        except NotFoundError:
            return self.create(name)

    def _decrypt(self, pem: bytes, path: Path) -> Ed25519PrivateKey:
        try:
            private = load_pem_private_key(pem, self.passphrase)
        except (ValueError, TypeError) as error:
            # cryptography says ValueError for a wrong passphrase and for damage, TypeError for a key without encryption
            raise NotAuthorisedError(
                f"{path} does not open with this passphrase",
                hint=f"set {PASSPHRASE_VARIABLE} to the passphrase the key was made with",
                code="passphrase",
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise NotAuthorisedError(f"{path} is not an Ed25519 key", code="key-kind")
        return private

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot name a key", hint="use lower-case letters, digits, '-' and '_'", code="key-name"
            )
        return self.folder / f"{name}{_SUFFIX}"


def client_keystore(home: HomeLayout) -> Keystore:
    """The operator's own keys."""
    return Keystore(folder=home.keys, passphrase=load_passphrase(home))


def site_keystore(home: HomeLayout) -> Keystore:
    """Keys of the site's roles."""
    return Keystore(folder=home.site_keys, passphrase=load_passphrase(home))
