"""Certificates for tests over TLS: an authority of one's own that vouches for anything, expired or not.

It opens no socket, and nothing here is good for anything but tests. Needs `cryptography`; where it is missing the test
is skipped.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Authority"]

DAY = timedelta(days=1)


class Authority:
    """A root. `pem` is what a client must trust; files go to `directory`, for `ssl` reads keys from nothing else."""

    def __init__(self, directory: Path) -> None:
        pytest.importorskip("cryptography")
        self._directory = directory
        self._key, self._certificate = _make("riverflow tests", (), None, None, DAY)
        self.pem = _pem(self._certificate)

    def server(self, *names: str, valid: timedelta = DAY) -> ssl.SSLContext:
        """A server's context for host names and addresses; the certificate ends (`valid`) that long after now, before
        it where that is negative."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._file(names, valid))
        return context

    def client(self, name: str) -> str:
        """A client's certificate with its private key, as one PEM text."""
        return self._file((name,), DAY).read_text()

    def asking(self, *names: str) -> ssl.SSLContext:
        """A server's context that takes only clients with a certificate of this authority."""
        context = self.server(*names)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.pem.decode())
        return context

    def _file(self, names: Sequence[str], valid: timedelta) -> Path:
        key, certificate = _make(names[0], names, self._key, self._certificate, valid)
        file = self._directory / f"{len(list(self._directory.iterdir()))}.pem"
        file.write_bytes(_pem(certificate) + _private(key))
        return file


def _make(subject: str, names: Sequence[str], issuer_key: Any, issuer: Any, valid: timedelta) -> tuple[Any, Any]:
    """A key and its certificate, signed by an issuer or (without one) by itself, as a root."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    public_key = (issuer_key or key).public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + valid) - DAY)
        .not_valid_after(now + valid)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), critical=False)
    return key, builder.sign(issuer_key or key, hashes.SHA256())


def _general(name: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    pem: bytes = certificate.public_bytes(Encoding.PEM)
    return pem


def _private(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem
