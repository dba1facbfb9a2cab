"""What every page must be like, whatever stands in it: no script or style of its own, nothing from elsewhere."""

from __future__ import annotations

import re

from .visitor import Seen

__all__ = ["assert_clean"]

_URLS = ("href", "src", "action", "formaction", "xlink:href", "data", "poster", "background", "srcset", "ping")
_STRANGE = frozenset({"iframe", "object", "embed", "base", "applet", "frame", "video", "audio", "style", "math"})
_SCRIPTS = ("theme.js", "console.js")


def assert_clean(page: Seen) -> None:
    """The answer's headers close the page, and its markup is the console's own."""
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == ("strict-origin" if "/approve/" in page.url else "same-origin")
    for tag, attributes in page.tags:
        assert tag not in _STRANGE, (page.url, tag)
        assert "-" not in tag, (page.url, tag)
        if tag == "script":
            assert (attributes.get("src") or "").partition("?")[0].endswith(_SCRIPTS), (page.url, attributes)
        for name, value in attributes.items():
            assert not name.startswith("on"), (page.url, tag, name)
            assert name != "style", (page.url, tag)
            if name in _URLS:
                _assert_here(page, value or "")


def _assert_here(page: Seen, url: str) -> None:
    """A relative link below the console, or a place on the page."""
    assert not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|\\|/", url), (page.url, url)
