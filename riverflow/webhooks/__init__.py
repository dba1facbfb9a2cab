"""The other side of a webhook: verify what riverflow (or any sender of Standard Webhooks) sent, and take it once.

It needs nothing of the engine: no store, no server, no event loop. `riverflow.webhooks.starlette` (FastAPI too),
`.flask` and `.django` are adapters for one framework each, imported by name.
"""

from ..errors import RawBodyRequired, WebhookVerificationError
from .dialects import DIALECTS, Dialect
from .headers import Headers, Reason
from .message import CallbackRequest, Message
from .receiver import Receiver, Reception
from .replays import MemoryReplays, ReplayStore, Standing
from .secrets import Secret, Secrets
from .sqlite import SQLiteReplays
from .verification import MAX_BODY, TOLERANCE, verify

__all__ = [
    "DIALECTS",
    "MAX_BODY",
    "TOLERANCE",
    "CallbackRequest",
    "Dialect",
    "Headers",
    "MemoryReplays",
    "Message",
    "RawBodyRequired",
    "Reason",
    "Receiver",
    "Reception",
    "ReplayStore",
    "SQLiteReplays",
    "Secret",
    "Secrets",
    "Standing",
    "WebhookVerificationError",
    "verify",
]
