"""The only JSON of riverflow: strict reading, JS-canonical writing.

*JS-canonical* is the text that `JSON.stringify(JSON.parse(text))` gives (ECMA-262, 25.5): no spaces, raw non-ASCII,
array-index keys first in ascending order, ECMAScript number text. A receiver that parses and re-serialises in
JavaScript then gets the bytes that were signed. One exception is on purpose: integers above 2^53 stay exact.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from .errors import InvalidRequest
from .models import Json

__all__ = ["EMPTY_OBJECT", "MAX_DEPTH", "NULL", "canonical", "decode", "encode", "from_python", "python_json", "splice"]

NULL = Json(b"null")
EMPTY_OBJECT = Json(b"{}")

_encoder = msgspec.json.Encoder()
encode = _encoder.encode
"""Structs and plain values to compact JSON; Raw values are spliced in as they are."""

_decoder = msgspec.json.Decoder()

# A key that is an array index stands as text behind a quote. A string may look like one inside: that costs a slow pass,
# never a wrong byte. (1 µs a kB; the literal first character is what makes it quick.)
_INDEX_KEY = re.compile(rb"\"(?:0|[1-9][0-9]{0,9})\":")
MAX_DEPTH = 128
"""Levels of arrays and objects in a value from outside. Each later reader of it, wherever he stands on the stack, must
be able to follow: Python's own limit is 1000 frames, ours and the server's included."""

_TOO_MANY = MAX_DEPTH + 1
_MAX_INDEX = 4294967294  # ECMA-262 6.1.7: an array index is below 2^32 - 1


def decode(data: bytes | memoryview) -> Any:
    """Read JSON strictly. Raises InvalidRequest that says what is wrong and where."""
    return _read(_decoder, data)


def canonical(data: bytes | memoryview) -> Json:
    """The JS-canonical form of JSON text. Raises InvalidRequest where it is not JSON, or nested over `MAX_DEPTH`."""
    try:
        return _rewritten(_read(_canonical_decoder, data))
    except ValueError as error:
        raise InvalidRequest(f"not acceptable as JSON: {error}", code="invalid_json") from None


def from_python(value: Any) -> Json:
    """The JS-canonical text of a Python value (anything msgspec can write: structs, dataclasses, datetimes …).

    NaN and infinities become null, as in JavaScript. Raises TypeError where the value has no JSON form,
    ValueError for lone surrogates and for more than `MAX_DEPTH` levels.
    """
    return _rewritten(_canonical_decoder.decode(_encoder.encode(value)))


def splice(**members: Any) -> bytes:
    """A JSON object from members in order; Json values are spliced, None members are left out."""
    if None in members.values():
        members = {name: value for name, value in members.items() if value is not None}
    return _encoder.encode(members)


def python_json(data: bytes) -> bytes:
    """Rewrite canonical JSON the way Python's `json.dumps` does by default, for receivers that re-serialise in
    Python."""
    return json.dumps(json.loads(data)).encode("ascii")


def _rewritten(value: Any) -> Json:
    """Written canonically; floats have become Raw while they were read."""
    text = _encoder.encode(value)
    _check_depth(text)
    if _INDEX_KEY.search(text):
        text = _encoder.encode(_ordered(_canonical_decoder.decode(text)))
    return Json(text)


def _check_depth(text: bytes) -> None:
    # `replace` looks for a byte by memchr, `count` at one after the other: 3 k instructions a kB instead of 12 k.
    others = text.replace(b"[", b"", _TOO_MANY).replace(b"{", b"", _TOO_MANY)
    if len(text) - len(others) <= MAX_DEPTH:
        return
    level = [_decoder.decode(text)]
    for _ in range(MAX_DEPTH):
        level = [
            member
            for value in level
            for member in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
            if isinstance(member, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested over {MAX_DEPTH} levels")


def _read(decoder: msgspec.json.Decoder[Any], data: bytes | memoryview) -> Any:
    if not data:
        raise InvalidRequest("the body is empty; give JSON", code="invalid_json")
    try:
        return decoder.decode(data)
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deeply", code="invalid_json") from None
    except UnicodeDecodeError:
        raise InvalidRequest("the JSON is not valid UTF-8", code="invalid_json") from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRequest(f"not valid JSON: {error}", code="invalid_json") from None


def _ordered(value: Any) -> Any:
    """With array-index keys first (ECMA-262 10.1.11, OrdinaryOwnPropertyKeys)."""
    if isinstance(value, list):
        return [_ordered(member) for member in value]
    if not isinstance(value, dict):
        return value
    indexes = sorted((key for key in value if _is_index(key)), key=int)
    others = (key for key in value if not _is_index(key))
    return {key: _ordered(value[key]) for key in (*indexes, *others)}


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and int(key) <= _MAX_INDEX


def _float(text: str) -> msgspec.Raw:
    """A JSON number with fraction or exponent, as JavaScript writes it."""
    value = float(text)
    shown = repr(value)  # Python writes the same digits (both are the shortest), and the same text but for these forms
    if "e" in shown or shown.endswith((".0", "f")):
        if math.isinf(value):
            raise msgspec.ValidationError("Number out of range")
        return msgspec.Raw(_number(value))
    return msgspec.Raw(shown.encode("ascii"))


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


_canonical_decoder = msgspec.json.Decoder(float_hook=_float)
"""Reads floats as their JavaScript text at once: no second look at the whole text is needed for them."""
