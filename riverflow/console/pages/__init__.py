"""The pages of the console, and the table of them all.

A page asks questions, and calls the API's verbs for what changes; it holds no rule of the product.
"""

from __future__ import annotations

from .._pages import PageRoute
from .access import PAGES as ACCESS
from .approvals import PAGES as APPROVALS
from .dead_letters import PAGES as DEAD_LETTERS
from .keys import PAGES as KEYS
from .live import PAGES as LIVE
from .outputs import PAGES as OUTPUTS
from .overview import PAGES as OVERVIEW
from .playground import PAGES as PLAYGROUND
from .request import PAGES as REQUEST
from .requests import PAGES as REQUESTS
from .settings import PAGES as SETTINGS
from .webhooks import PAGES as WEBHOOKS
from .workflows import PAGES as WORKFLOWS

__all__ = ["PAGES"]

PAGES: tuple[PageRoute, ...] = (
    *ACCESS,
    *LIVE,
    *OVERVIEW,
    *REQUESTS,
    *REQUEST,
    *PLAYGROUND,
    *APPROVALS,
    *DEAD_LETTERS,
    *WORKFLOWS,
    *OUTPUTS,
    *WEBHOOKS,
    *KEYS,
    *SETTINGS,
)
