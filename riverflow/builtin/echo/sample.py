"""The smallest value that satisfies a JSON Schema: a pure function, the same value for the same schema.

It aims at the schemas people write for answers of a model. It does not solve constraints: where `pattern`, `not`, `if`
or `uniqueItems` decide, the value may not satisfy them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

__all__ = ["sample"]

_MAX_DEPTH = 32
_MAX_ITEMS = 1000

_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",  # RFC 5737
    "ipv6": "2001:db8::1",  # RFC 3849
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_BY_KEYWORD = (
    ("object", frozenset({"properties", "required", "minProperties"})),
    ("array", frozenset({"items", "prefixItems", "minItems", "contains"})),
    ("string", frozenset({"minLength", "maxLength", "format", "pattern"})),
    ("number", frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})),
)


def sample(schema: Any) -> Any:
    """A value for a decoded schema. `const`, `default`, the first of `examples` and of `enum` come first; objects get
    their required members, lists their `minItems`, text its `minLength`; of `anyOf` and `oneOf` the first is taken."""
    return _Sampler(schema).value(schema, 0)


class _Sampler:
    def __init__(self, root: Any) -> None:
        self._root = root

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return None
        schema = self._flat(schema, depth)
        if "const" in schema:
            return schema["const"]
        if "default" in schema:
            return schema["default"]
        for choices in (schema.get("examples"), schema.get("enum")):
            if isinstance(choices, list) and choices:
                return choices[0]
        return self._of_type(_type(schema), schema, depth)

    def _flat(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """The schema with what `$ref`, `allOf`, and the first of `anyOf` and `oneOf` add to it."""
        parts = []
        if isinstance(schema.get("$ref"), str):
            parts.append(self._resolved(schema["$ref"]))
        if isinstance(schema.get("allOf"), list):
            parts += schema["allOf"]
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list):
                parts += schema[keyword][:1]
        flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
        for part in parts:
            if isinstance(part, dict) and depth < _MAX_DEPTH:
                flat = _merged(flat, self._flat(part, depth + 1))
        return flat

    def _resolved(self, reference: str) -> Any:
        found = self._root
        if not reference.startswith("#"):
            return {}
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name, {}) if isinstance(found, dict) else {}
        return found

    def _of_type(self, name: str | None, schema: dict[str, Any], depth: int) -> Any:
        if name == "object":
            return self._object(schema, depth)
        if name == "array":
            return self._array(schema, depth)
        if name == "string":
            return _string(schema)
        if name in ("number", "integer"):
            return _number(schema, whole=name == "integer")
        return False if name == "boolean" else None

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties, names = schema.get("properties") or {}, schema.get("required") or []
        return {name: self.value(properties.get(name, {}), depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        length = min(max(schema.get("minItems", 0), 1 if "contains" in schema else 0), _MAX_ITEMS)
        rest = schema.get("contains", schema.get("items", {}))
        return [self.value(first[place] if place < len(first) else rest, depth + 1) for place in range(length)]


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    merged = {**other, **one}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**other["properties"], **one["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def _type(schema: dict[str, Any]) -> str | None:
    name = schema.get("type")
    if isinstance(name, list):
        name = next((each for each in name if each != "null"), "null")
    if isinstance(name, str):
        return name
    return next((name for name, keywords in _BY_KEYWORD if not keywords.isdisjoint(schema)), "string")


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "")
    return text.ljust(min(schema.get("minLength", 0), 100 * _MAX_ITEMS), "x")[: schema.get("maxLength")]


def _number(schema: dict[str, Any], *, whole: bool) -> float | int:
    step = schema.get("multipleOf") or (1 if whole else None)
    for value in _candidates(schema, step):
        if _allowed(value, schema) and not (whole and value % 1):
            return int(value) if value % 1 == 0 else value
    return 0


def _candidates(schema: dict[str, Any], step: float | None) -> Iterator[float]:
    """Zero, then what lies at and just inside the bounds."""
    yield 0
    bounds = [schema[name] for name in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") if name in schema]
    for bound in bounds:
        if step is None:
            yield from (bound, bound + 1, bound - 1)
        else:
            near = bound // step
            yield from (near * step, (near + 1) * step, (near - 1) * step)
    yield sum(bounds) / max(len(bounds), 1)


def _allowed(value: float, schema: dict[str, Any]) -> bool:
    return bool(
        value >= schema.get("minimum", -math.inf)
        and value > schema.get("exclusiveMinimum", -math.inf)
        and value <= schema.get("maximum", math.inf)
        and value < schema.get("exclusiveMaximum", math.inf)
    )
