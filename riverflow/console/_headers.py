"""The headers of every answer of the console: nothing is fetched from elsewhere, framed, or kept.

It holds the policy and no reason to depart from it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ASSET", "LINKED_PAGE", "PAGE", "POLICY", "Headers"]

Headers = tuple[tuple[bytes, bytes], ...]

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "trusted-types riverflow",
        "require-trusted-types-for 'script'",
    )
)
"""Content Security Policy 3: no inline script or style, no other origin, markup only through one named policy."""

_ALWAYS: Final[Headers] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # `no-referrer` would make browsers send `Origin: null` with a form (Fetch, 3.2), which must then be refused.
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
)

PAGE: Final[Headers] = (*_ALWAYS, (b"cache-control", b"no-store"), (b"vary", b"cookie, accept-encoding"))
ASSET: Final[Headers] = (*_ALWAYS, (b"vary", b"accept-encoding"))

# `strict-origin` leaves a form its Origin, too.
LINKED_PAGE: Final[Headers] = tuple(
    (name, b"strict-origin") if name == b"referrer-policy" else (name, value) for name, value in PAGE
)
"""Of a page whose address is a secret: what it fetches is not told where from."""
