"""What a server's certificate must satisfy: TLS contexts for every client that uses Python's `ssl`.

It reads no environment and makes no connection.
"""

from __future__ import annotations

import ssl
from tempfile import NamedTemporaryFile

import httpx

from ...errors import HttpError
from ...models import Trust

__all__ = ["trusting"]


def trusting(authorities: bytes | None, trust: Trust | None = None) -> ssl.SSLContext:
    """A client's context: certifi's roots, and further ones (PEM) where they are given; HTTP/1.1 only, TLS 1.2 and
    newer. Raises HttpError (`tls_error`) where what `trust` holds cannot be read."""
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # a build of OpenSSL may allow less (RFC 8996)
    context.set_alpn_protocols(["http/1.1"])
    trust = trust or Trust()
    try:
        for roots in (authorities.decode("ascii") if authorities else None, trust.authorities):
            if roots is not None:
                context.load_verify_locations(cadata=roots)
        if trust.certificate is not None:
            _show(context, trust.certificate)
    except (ssl.SSLError, ValueError) as error:
        raise HttpError("the certificates for this URL cannot be read", code="tls_error") from error
    return context


def _show(context: ssl.SSLContext, certificate: str) -> None:
    """OpenSSL reads a private key from a file only: one that nobody else can open, for as long as it takes."""
    with NamedTemporaryFile(prefix="riverflow-") as file:
        file.write(certificate.encode())
        file.flush()
        context.load_cert_chain(file.name)
