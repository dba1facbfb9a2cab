"""The console: pages for people at `console/`, rendered here, working without script, live with it.

It stands on the API's verbs and the same queries. It needs Jinja2, which is loaded with the first page.
"""

from __future__ import annotations

from ._app import Console
from ._build import Ground, build_console

__all__ = ["Console", "Ground", "build_console"]
