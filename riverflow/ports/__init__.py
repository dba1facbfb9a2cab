"""The ports that plugins fill, each with its guarantees, and the Context a factory is given.

Only Protocols and small value types live here; nothing is implemented.
"""

from .asgi import ASGIApp, Receive, Scope, Send
from .channels import Channels, Subscription, Transport, TransportRoute
from .context import Context
from .http import HttpClient, HttpRequest, HttpResponse
from .outside import Authenticator, Handler, Notifier, Provider, Sender, Signer
from .stages import StageContext, StageMiddleware, StageRunner
from .store import (
    EVERY_RUN,
    DeliveryFilter,
    DeliveryPage,
    Documents,
    EntryPage,
    Queue,
    RunLog,
    RunPage,
    Store,
    StoredRun,
)
from .time import Clock, Ids

__all__ = [
    "EVERY_RUN",
    "ASGIApp",
    "Authenticator",
    "Channels",
    "Clock",
    "Context",
    "DeliveryFilter",
    "DeliveryPage",
    "Documents",
    "EntryPage",
    "Handler",
    "HttpClient",
    "HttpRequest",
    "HttpResponse",
    "Ids",
    "Notifier",
    "Provider",
    "Queue",
    "Receive",
    "RunLog",
    "RunPage",
    "Scope",
    "Send",
    "Sender",
    "Signer",
    "StageContext",
    "StageMiddleware",
    "StageRunner",
    "Store",
    "StoredRun",
    "Subscription",
    "Transport",
    "TransportRoute",
]
