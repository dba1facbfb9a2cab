"""The only JSON of riverflow: strict reading, JS-canonical writing.

*JS-canonical* is the text that `JSON.stringify(JSON.parse(text))` gives (ECMA-262, 25.5): no spaces, raw non-ASCII,
array-index keys first in ascending order, ECMAScript number text. A receiver that parses and re-serialises in
JavaScript then gets the bytes that were signed. One exception is on purpose: integers above 2^53 stay exact.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from .errors import InvalidRequest
from .models import Json

__all__ = ["EMPTY_OBJECT", "NULL", "canonical", "decode", "encode", "from_python", "python_json", "splice"]

NULL = Json(b"null")
EMPTY_OBJECT = Json(b"{}")

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""Structs and plain values to compact JSON; Raw values are spliced in as they are."""

_any_decoder = msgspec.json.Decoder()

# What msgspec writes differently from JavaScript: exponents (`1e21`, `1e-6`), a trailing `.0`, and keys that are
# array indexes. The search may be fooled by text inside a string; that costs a slow pass, never a wrong byte.
_DIFFERS = re.compile(
    rb"(?:^|[:\[,])-?[0-9]+(?:\.[0-9]+)?(?:e|(?<=\.0)(?=[,\]}]|$))"
    rb"|[{,]\"(?:0|[1-9][0-9]{0,9})\":"
)
_MAX_INDEX = 4294967294  # ECMA-262 6.1.7: an array index is below 2^32 - 1


def decode(data: bytes | memoryview) -> Any:
    """Read JSON strictly. Raises InvalidRequest that says what is wrong and where."""
    try:
        return _any_decoder.decode(data)
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deeply", code="invalid_json") from None
    except UnicodeDecodeError:
        raise InvalidRequest("the JSON is not valid UTF-8", code="invalid_json") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRequest(f"not valid JSON: {error}", code="invalid_json") from None


def canonical(data: bytes | memoryview | Json) -> Json:
    """The JS-canonical form of JSON text. Raises InvalidRequest where it is not JSON."""
    return from_python(decode(bytes(data)))


def from_python(value: Any) -> Json:
    """The JS-canonical text of a Python value (anything msgspec can write: structs, dataclasses, datetimes …).

    NaN and infinities become null, as in JavaScript. Raises TypeError where the value has no JSON form,
    ValueError for lone surrogates.
    """
    text = _encoder.encode(value)
    if _DIFFERS.search(text):
        text = _encoder.encode(_as_javascript(_any_decoder.decode(text)))
    return Json(text)


def splice(**members: Any) -> bytes:
    """A JSON object from members in order; Json values are spliced, None members are left out."""
    return _encoder.encode({name: value for name, value in members.items() if value is not None})


def python_json(data: bytes) -> bytes:
    """Rewrite canonical JSON the way Python's `json.dumps` does by default, for receivers that re-serialise in
    Python."""
    return json.dumps(json.loads(data)).encode("ascii")


def _as_javascript(value: Any) -> Any:
    if isinstance(value, dict):
        items = [(key, _as_javascript(member)) for key, member in value.items()]
        indexes = [item for item in items if _is_index(item[0])]
        if indexes:
            indexes.sort(key=lambda item: int(item[0]))
            items = indexes + [item for item in items if not _is_index(item[0])]
        return dict(items)
    if isinstance(value, list):
        return [_as_javascript(member) for member in value]
    if isinstance(value, float):
        return msgspec.Raw(_number(value))
    return value


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and int(key) <= _MAX_INDEX


def _number(value: float) -> bytes:
    """ECMA-262 6.1.6.1.20 Number::toString for a finite double."""
    if value == 0:
        return b"0"
    sign, digits, exponent = _shortest(value)
    point = len(digits) + exponent  # decimal point after this many digits
    if len(digits) <= point <= 21:
        text = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
        text = f"{mantissa}e{point - 1:+d}"
    return (sign + text).encode("ascii")


def _shortest(value: float) -> tuple[str, str, int]:
    """Sign, shortest round-trip digits without trailing zeros, and the power of ten of the last digit."""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return ("-" if value < 0 else ""), stripped, power + len(digits) - len(stripped)
