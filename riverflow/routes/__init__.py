"""The HTTP API: bytes in, a verb of the engine, bytes out.

Every route is a row of a table from which both the router and the OpenAPI document are made. No rule of the product is
decided here.
"""

from __future__ import annotations

from ._door import Call, Doors, Reply, Route, base_url_of, problem_app, respond
from ._front import Front
from ._request_bodies import EXPORTED
from ._router import build_router
from .ai import ROUTES as AI
from .approvals import ROUTES as APPROVALS
from .callback import ROUTES as CALLBACK
from .console import ROUTES as CONSOLE
from .deliveries import ROUTES as DELIVERIES
from .health import Health
from .openapi import document
from .playground import ROUTES as PLAYGROUND
from .requests import ROUTES as REQUESTS

__all__ = [
    "EXPORTED",
    "ROUTES",
    "Call",
    "Doors",
    "Front",
    "Health",
    "Reply",
    "Route",
    "base_url_of",
    "build_router",
    "document",
    "problem_app",
    "respond",
]

ROUTES: tuple[Route, ...] = (*AI, *CALLBACK, *REQUESTS, *DELIVERIES, *APPROVALS, *PLAYGROUND, *CONSOLE)
