"""Phoenix Channels messages: serializer versions 1 (objects) and 2 (arrays) as text frames.

This module must not know what a message means; it reads and writes one frame at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

__all__ = ["OK", "V2", "Message", "Ref", "Serializer", "refusal", "serializer"]

T = TypeVar("T")

Ref = str | int | None
"""A number of the client's own; phoenix.js writes it as a string, other clients as a number."""

OK = '{"status":"ok","response":{}}'


class Message(msgspec.Struct, array_like=True, frozen=True):
    """One message of a client, as version 2 writes it: `[join_ref, ref, topic, event, payload]`."""

    join_ref: Ref
    ref: Ref
    topic: str
    event: str
    payload: msgspec.Raw


class _Object(msgspec.Struct, frozen=True):
    """The same as version 1 writes it: `{topic, event, payload, ref}`."""

    topic: str
    event: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    ref: Ref = None
    join_ref: Ref = None


class Serializer(Protocol):
    """Text to message and back. `payload` is JSON text and is spliced in."""

    def decode(self, text: str) -> Message | None:
        """None where the text is not a message."""
        ...

    def encode(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: str) -> str: ...


class _V1:
    """Objects: what a client speaks that sends no `vsn`."""

    def decode(self, text: str) -> Message | None:
        read = _decode(_objects, text)
        return None if read is None else Message(read.join_ref, read.ref, read.topic, read.event, read.payload)

    def encode(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: str) -> str:
        return f'{{"topic":{_json(topic)},"event":{_json(event)},"payload":{payload},"ref":{_json(ref)}}}'


class _V2:
    """Arrays: what phoenix.js speaks since 1.4."""

    def decode(self, text: str) -> Message | None:
        return _decode(_arrays, text)

    def encode(self, join_ref: Ref, ref: Ref, topic: str, event: str, payload: str) -> str:
        return f"[{_json(join_ref)},{_json(ref)},{_json(topic)},{_json(event)},{payload}]"


def serializer(vsn: str | None) -> Serializer | None:
    """The serializer a client asks for in the query (`vsn`); None where it asks for one that does not exist."""
    major = (vsn or "1.0.0").partition(".")[0]
    return _VERSIONS.get(major)


def refusal(reason: str) -> str:
    """The payload of a reply that refuses."""
    return _json({"status": "error", "response": {"reason": reason}})


V2: Serializer = _V2()
_VERSIONS: Mapping[str, Serializer] = {"1": _V1(), "2": V2}
_arrays = msgspec.json.Decoder(Message)
_objects = msgspec.json.Decoder(_Object)
_encoder = msgspec.json.Encoder()


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T | None:
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _json(value: object) -> str:
    return _encoder.encode(value).decode("utf-8")
