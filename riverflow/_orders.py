"""What a receiver asks for in the headers of its answer: when to come again, and whether at all.

Pure. It reads what a stranger wrote: everything is bounded, and what cannot be read asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

__all__ = ["Orders", "orders_of", "retry_after"]

_READ = 256  # characters of a header's value
_SECONDS = re.compile(r"(?:^|,)[ \t]*([0-9]+)[ \t]*(?=,|$)")
_DATE = re.compile(  # IMF-fixdate, RFC 850 and asctime: a recipient takes all three (RFC 9110, 5.6.7)
    r"[A-Za-z]{3,9}, [0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9:]{8} GMT"
    r"|[A-Za-z]{3} [A-Za-z]{3} [ 0-9]{2} [0-9:]{8} [0-9]{4}"
)


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_after` in seconds from now (None: nothing was said), `abort` ends this delivery, `disable` its endpoint
    as well."""

    retry_after: float | None = None
    abort: bool = False
    disable: bool = False

    @property
    def said(self) -> str | None:
        """The words of `webhook-delivery` that were understood."""
        return "disable" if self.disable else "abort-message" if self.abort else None


NONE = Orders()


def orders_of(headers: Mapping[str, str], now: float) -> Orders:
    """The orders in an answer's headers: `Retry-After` (RFC 9110, 10.2.3) and `webhook-delivery` (Standard Webhooks,
    proposed: `disable` or `abort-message`)."""
    delivery, after = headers.get("webhook-delivery"), headers.get("retry-after")
    if delivery is None and after is None:
        return NONE
    words = {word.strip().lower() for word in (delivery or "")[:_READ].split(",")}
    return Orders(
        retry_after=retry_after(after, now) if after is not None else None,
        abort="abort-message" in words,
        disable="disable" in words,
    )


def retry_after(value: str, now: float) -> float | None:
    """Seconds until the time a `Retry-After` names; of several values the latest time counts. A date that has passed
    is 0; what is neither whole seconds nor a date is None."""
    value = value[:_READ]
    named = [float(seconds) for seconds in _SECONDS.findall(value)]
    for date in _DATE.findall(value):
        at = _timestamp(date)
        if at is not None:
            named.append(max(at - now, 0.0))
    return max(named, default=None)


def _timestamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
