"""What a server's certificate must satisfy: one TLS context for every client that uses Python's `ssl`.

It reads no environment and makes no connection.
"""

from __future__ import annotations

import ssl

import httpx

__all__ = ["trusting"]


def trusting(authorities: bytes | None) -> ssl.SSLContext:
    """A client's context: certifi's roots, and further ones (PEM) where they are given; HTTP/1.1 only."""
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    if authorities is not None:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
    return context
