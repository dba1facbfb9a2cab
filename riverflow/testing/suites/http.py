"""The conformance suite of ports.HttpClient: real sockets, friendly and hostile receivers, the egress guard.

It asks only what the port promises.
"""

from __future__ import annotations

from .http_case import names
from .http_exchange import Exchange
from .http_guard import Guarding
from .http_hostile import Hostile
from .http_tls import Tls

__all__ = ["HttpClientSuite", "names"]


class HttpClientSuite(Exchange, Guarding, Tls, Hostile):
    """Subclass it and say how a client is built::

        class TestMine(HttpClientSuite):
            def build(self, **options):
                return MyClient(**options)

    `options` are `settings`, `clock`, `resolve` (host and port to address texts), `authorities` (PEM to trust, or
    None), and the time limits `connect` and `read` in seconds.
    """
