"""JSON Schema: whether a schema is one, and what is wrong with a value under it.

A thin layer over `jsonschema_rs` (extra `riverflow[schema]`), which is imported at first use. It fetches nothing: a
`$ref` that leaves the document is an error. It holds no state but its bounded cache of compiled schemas.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from .models import Json

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["SchemaError", "Validator", "Violation", "check_schema", "formal", "validator"]

MAX_VIOLATIONS = 10
MAX_MESSAGE = 300
"""Characters of a message: jsonschema_rs quotes the value, which may be a whole document."""

_CACHE = 128
_REGEX_BYTES = 1 << 22  # of a compiled pattern: `^[\p{L}]{1,50}$` takes between 2 and 4 MiB

_KEYWORDS = frozenset(
    {
        *("type", "enum", "const", "properties", "required", "additionalProperties", "patternProperties"),
        *("propertyNames", "minProperties", "maxProperties", "dependentRequired", "dependentSchemas"),
        *("items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "definitions"),
        *("anyOf", "oneOf", "allOf", "not", "if", "then", "else", "unevaluatedProperties", "unevaluatedItems"),
        *(
            "minLength",
            "maxLength",
            "pattern",
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ),
    }
)
"""What makes an object a schema (2020-12, and its forerunners): annotations such as `title` do not."""


class SchemaError(ValueError):
    """A document that is not a JSON Schema, or one that nothing here can check. `pointer` (RFC 6901) names the place
    within it."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(f"{message} (at {pointer})" if pointer else message)
        self.message = message
        self.pointer = pointer


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a value: where (a JSON pointer, empty for the whole value), and what."""

    pointer: str
    message: str


class Validator:
    """A compiled schema."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: jsonschema_rs.Validator) -> None:
        self._compiled = compiled

    def errors(self, value: Any) -> list[Violation]:
        """What is wrong with a decoded JSON value, the first 10 findings at most; empty where nothing is."""
        if self._compiled.is_valid(value):  # a quarter of the cost of looking for reasons
            return []
        found: list[Violation] = []
        for error in self._compiled.iter_errors(value):
            found.append(Violation(pointer=_pointer(error.instance_path), message=_bounded(error.message)))
            if len(found) == MAX_VIOLATIONS:
                break
        return found


def check_schema(schema: Any) -> None:
    """Raise SchemaError where a decoded value is neither a JSON Schema nor an example-valued object (see `formal`), or
    where jsonschema_rs is not installed: then no schema is taken that nobody could hold an answer against."""
    _compile(_as_schema(schema))


def validator(schema: Json) -> Validator:
    """The compiled form of a schema, cached by its bytes. The draft is named by `$schema`, else 2020-12.

    `format` is an annotation, as 2020-12 has it. Patterns run on an engine that takes linear time (no look-around, no
    back-references), so no answer of a model can stall the process. Raises SchemaError, as `check_schema`
    does.
    """
    return _cached(bytes(schema))


def formal(schema: Json) -> bytes:
    """The JSON Schema proper, as JSON text, of what a user gave as one.

    An *example-valued* object has no keyword of JSON Schema and no `$…` member: its members are the fields of the
    answer, each described by its value (`{"summary": "two sentences", "tags": ["one topic"]}`). It stands for an object
    in which all of them are required: text becomes the field's description, an object or a list demands an object or a
    list, and any other value is only an example. Anything else is returned as it is.
    """
    return _formal(bytes(schema))


@lru_cache(maxsize=_CACHE)
def _formal(schema: bytes) -> bytes:
    value = _decoded(schema)
    converted = _as_schema(value)
    return schema if converted is value else msgspec.json.encode(converted)


@lru_cache(maxsize=_CACHE)
def _cached(schema: bytes) -> Validator:
    return Validator(_compile(_as_schema(_decoded(schema))))


def _decoded(schema: bytes) -> Any:
    try:
        return msgspec.json.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SchemaError(f"the schema cannot be read: {error}") from None


def _as_schema(value: Any) -> Any:
    if not isinstance(value, dict) or not value or any(key in _KEYWORDS or key[:1] == "$" for key in value):
        return value
    try:
        return _described(value)
    except RecursionError:
        raise SchemaError("the schema is nested too deeply") from None


def _described(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and value:
        members = {name: _described(member) for name, member in value.items()}
        return {"type": "object", "properties": members, "required": list(value)}
    if isinstance(value, dict):
        return {"type": "object"}
    if isinstance(value, list):
        return {"type": "array", "items": _described(value[0])} if value else {"type": "array"}
    if isinstance(value, str):
        return {"description": value} if value else {}
    return {"examples": [value]}


def _compile(schema: Any) -> jsonschema_rs.Validator:
    rust = _library()
    try:
        compiled: jsonschema_rs.Validator = rust.validator_for(
            schema,
            retriever=_refuse,
            validate_formats=False,
            pattern_options=rust.RegexOptions(size_limit=_REGEX_BYTES),
        )
    except rust.ValidationError as error:
        raise SchemaError(_bounded(error.message), _pointer(error.instance_path)) from None
    except ValueError as error:  # nested too deeply
        raise SchemaError(_bounded(str(error))) from None
    return compiled


def _library() -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        raise SchemaError(
            "structured outputs are checked with jsonschema-rs, which is not installed: pip install 'riverflow[schema]'"
        ) from None
    return jsonschema_rs


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"a $ref to another document is not followed: {uri}")


def _pointer(path: list[str | int]) -> str:
    """RFC 6901, section 3."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _bounded(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
