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

    `aborts` says whether a caller who is cancelled takes the connection with him, before the answer's headers came as
    well; set it False for a client that cannot: it must then let go when the request's time is over.
    `hurries` says whether an answer that stops midway is given up after `read` seconds; set it False for a client that
    waits until the request's time is over.
    """
