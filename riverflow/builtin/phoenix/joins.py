"""What a client asks for when it joins: a topic, and the number to go on from.

This module must not reply; it raises the RequestError whose code is the reason that the client is given.
"""

from __future__ import annotations

from uuid import UUID

import msgspec

from ...errors import Forbidden, InvalidRequest
from ...models import TokenClaims
from .frames import Ref

__all__ = ["Join", "after_of", "authorise"]


class Join(msgspec.Struct, frozen=True):
    """A joined channel: how its messages are headed."""

    ref: Ref
    topic: str


class _Payload(msgspec.Struct, frozen=True):
    after: int | None = None


def authorise(topic: str, claims: TokenClaims) -> None:
    """Whether the topic is the token's channel, as `ai_response:{project}:{channel}` or `ai_response:{channel}`."""
    name, *place = topic.split(":")
    if name != "ai_response" or len(place) not in (1, 2):
        raise InvalidRequest("not a channel topic", code="invalid_channel_format")
    if place[-1] == claims.channel_id and place[:-1] in ([], [claims.project_id]):
        return
    if len(place) == 2 and not _is_uuid(place[0]):
        raise InvalidRequest("not a project id", code="invalid_project_uuid")
    if not _is_uuid(place[-1]):
        raise InvalidRequest("not a channel id", code="invalid_channel_uuid")
    raise Forbidden("the token is for another channel", code="unauthorized_project_access")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def after_of(payload: msgspec.Raw) -> int | None:
    """The `after` of a join's payload; None where the client wants the latest state."""
    try:
        after = msgspec.json.decode(payload, type=_Payload).after
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidRequest("`after` is a number", code="invalid_after") from None
    if after is not None and after < 0:
        raise InvalidRequest("`after` is not negative", code="invalid_after")
    return after
