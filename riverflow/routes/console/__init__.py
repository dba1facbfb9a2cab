"""`/console/…`: what is configured, as documents that a key with `admin` may change.

Pages for people are elsewhere; what is defined in code can be read here but not changed.
"""

from __future__ import annotations

from .credentials import ROUTES as CREDENTIALS
from .keys import ROUTES as KEYS
from .projects import ROUTES as PROJECTS
from .structured_outputs import ROUTES as STRUCTURED_OUTPUTS
from .webhooks import ROUTES as WEBHOOKS
from .workflows import ROUTES as WORKFLOWS

__all__ = ["ROUTES"]

ROUTES = (*WORKFLOWS, *STRUCTURED_OUTPUTS, *WEBHOOKS, *CREDENTIALS, *PROJECTS, *KEYS)
