"""Certificates for a site whose nodes talk over TLS: an authority of its own, and one certificate a machine.

Ray checks both sides of every connection against the one authority, so a machine without a certificate of this site
cannot connect at all; the token is asked for besides. The authority's key stays in the site's home. A machine gets its
own key and certificate, once, over the channel that also carries the token.
"""

import datetime as dt
import ipaddress
import sys
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.config import HomeLayout, home_from_environment
from cluster.errors import ClusterError, UsageError
from cluster.secret_file import load_or_create_token, load_secret, make_private_folder, replace_secret

_YEARS: Final = dt.timedelta(days=3650)
_EARLIER: Final = dt.timedelta(days=1)
"""Clocks of machines differ; a certificate is good a little before it was made."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine needs to take part: as one line of JSON on standard input of `pouw join`."""

    token: str
    """Ray's token of the site."""
    authority: str = ""
    """Whom to trust, as PEM; empty without TLS, like the others."""
    certificate: str = ""
    key: str = ""


def load_or_create_authority(home: HomeLayout, now: dt.datetime) -> x509.Certificate:
    """The site's own authority; made with a new key the first time."""
    if not home.authority_certificate.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pouw site")])
        limits = x509.BasicConstraints(ca=True, path_length=0)
        certificate = _builder(name, name, key.public_key(), now).add_extension(limits, critical=True)
        make_private_folder(home.tls)
        replace_secret(home.authority_key, _pem(key))
        signed = certificate.sign(key, hashes.SHA256())
        replace_secret(home.authority_certificate, signed.public_bytes(Encoding.PEM))
    return x509.load_pem_x509_certificate(home.authority_certificate.read_bytes())


def issue(home: HomeLayout, address: str, token: str, now: dt.datetime) -> Credentials:
    """A new key and certificate for the machine at `address`, signed by the site's authority."""
    authority = load_or_create_authority(home, now)
    signer = load_pem_private_key(load_secret(home.authority_key), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ClusterError(f"{home.authority_key} is not a key of this program", code="tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    names = x509.SubjectAlternativeName([_name(address), x509.DNSName("localhost"), _name("127.0.0.1")])
    builder = _builder(name, authority.subject, key.public_key(), now)
    certificate = builder.add_extension(names, critical=False).add_extension(uses, critical=False)
    return Credentials(
        token=token,
        authority=authority.public_bytes(Encoding.PEM).decode(),
        certificate=certificate.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
        key=_pem(key).decode(),
    )


def keep(home: HomeLayout, credentials: Credentials) -> None:
    """Store a machine's certificate in its home, or remove one of a site that had TLS before.

    The token is not kept: who joins again is given it again.
    """
    if not credentials.certificate:
        remove(home)
        return
    for path, text in (
        (home.trusted_authority, credentials.authority),
        (home.node_certificate, credentials.certificate),
        (home.node_key, credentials.key),
    ):
        replace_secret(path, text.encode())


def tls_environment(home: HomeLayout) -> dict[str, str]:
    """The variables that switch Ray's TLS on, if this home has certificates; none otherwise."""
    if not home.node_certificate.exists():
        return {}
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(home.node_certificate),
        "RAY_TLS_SERVER_KEY": str(home.node_key),
        "RAY_TLS_CA_CERT": str(home.trusted_authority),
    }


def remove(home: HomeLayout) -> None:
    """Forget this machine's own certificate: TLS is off from then on. The authority stays."""
    for path in (home.trusted_authority, home.node_certificate, home.node_key):
        path.unlink(missing_ok=True)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _YEARS)
    )


def _name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_credentials(line: str) -> Credentials:
    """What `pouw join --token-stdin` was given: a bare token, or credentials as JSON.

    Raises:
        UsageError: neither.
    """
    if not line:
        raise UsageError(
            "standard input is empty", hint="give Ray's token of the site as its first line", code="no-ray-token"
        )
    if not line.startswith("{"):
        return Credentials(token=line)
    try:
        return msgspec.json.decode(line, type=Credentials)
    except msgspec.DecodeError as error:
        raise UsageError(f"standard input holds no credentials: {error}", code="credentials") from error


def main() -> int:
    """Print credentials for the machine whose address is the first argument, for `pouw join --token-stdin` there."""
    home = home_from_environment()
    credentials = issue(home, sys.argv[1], load_or_create_token(home.ray_token), dt.datetime.now(dt.UTC))
    sys.stdout.write(msgspec.json.encode(credentials).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
