"""Numbers, times and sizes as people read them.

Pure: the present comes as an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = [
    "ago",
    "clock_time",
    "count",
    "day_time",
    "duration",
    "iso",
    "moment",
    "percent",
    "segment",
    "short_id",
    "size",
]

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def duration(seconds: float | None) -> str:
    """`850 ms`, `1.24 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds is None:
        return "–"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    seconds = round(seconds)
    parts: list[str] = []
    for length, unit in (*_UNITS, (1.0, "s")):
        amount, seconds = divmod(seconds, length)
        if amount or parts:
            parts.append(f"{amount:.0f} {unit}" if amount else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def ago(at: float | None, now: float) -> str:
    """`just now`, `12 s ago`, `5 min ago`, `3 h ago`, `in 2 min`; a date where it is over a week."""
    if at is None:
        return "–"
    passed = now - at
    if abs(passed) < 2:
        return "just now"
    if abs(passed) > 7 * 86_400:
        return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y")
    whole = next((f"{abs(passed) // length:.0f} {unit}" for length, unit in _UNITS if abs(passed) >= length), None)
    text = whole or f"{abs(passed):.0f} s"
    return f"{text} ago" if passed > 0 else f"in {text}"


def iso(at: float) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def day_time(at: float | None) -> str:
    """`22 Nov 00:44:37` in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M:%S") if at is not None else "–"


def moment(text: str | None) -> float | None:
    """Unix seconds of a date as the API writes it (RFC 3339); None where there is none."""
    return datetime.fromisoformat(text).timestamp() if text else None


def clock_time(at: float) -> str:
    """`00:44:37.123` in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def count(number: float | None) -> str:
    """`1,204`, `12.4 k`, `3.1 M`."""
    if number is None:
        return "–"
    for length, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= length:
            return f"{number / (length if length != 1e4 else 1e3):.1f} {unit}"
    return f"{number:,.0f}"


def percent(share: float | None) -> str:
    """A share of 1: `99.2 %`; never rounded up to all, nor down to none."""
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %".replace(".0 %", " %")


def size(length: int) -> str:
    """`812 B`, `3.4 kB`, `1.2 MB`."""
    if length < 1000:
        return f"{length} B"
    return f"{length / 1000:.1f} kB" if length < 1_000_000 else f"{length / 1_000_000:.1f} MB"


def short_id(text: str) -> str:
    """The end of an id: of a UUIDv7 that is what differs between two of one moment. Of a delivery's id it is that of
    its request."""
    return (text.split("_")[1] if text.startswith("msg_") else text)[-8:]


def segment(name: str) -> str:
    """What stands for a name in the path of its page: `new` is the page for a new one, and no name has a `~`."""
    return "~new" if name == "new" else name
