"""What a client asks for when it joins: a topic, and the number to go on from.

This module must not reply; it raises the RequestError whose code is the reason that the client is given.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ...errors import Forbidden, InvalidRequest
from ...models import TokenClaims, canonical_id
from .frames import Message, Ref

__all__ = ["Join", "after_of", "authorise"]


class Join(msgspec.Struct, frozen=True):
    """A joined channel: how its messages are headed."""

    ref: Ref
    topic: str

    @classmethod
    def of(cls, message: Message) -> Join:
        """The join that a message asks for. Version 1 has no join_ref: there the message's own number must do."""
        return cls(message.ref if message.join_ref is None else message.join_ref, message.topic)


class _Payload(msgspec.Struct, frozen=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None  # what a store can count to


def authorise(topic: str, claims: TokenClaims) -> None:
    """Whether the topic is the token's channel, as `ai_response:{project}:{channel}` or `ai_response:{channel}`."""
    name, *named = topic.split(":")
    if name != "ai_response" or len(named) not in (1, 2):
        raise InvalidRequest("not a channel topic", code="invalid_channel_format")
    place = [canonical_id(text) for text in named]
    if place in ([claims.channel_id], [claims.project_id, claims.channel_id]):
        return
    if len(place) == 2 and place[0] is None:
        raise InvalidRequest("not a project id", code="invalid_project_uuid")
    if place[-1] is None:
        raise InvalidRequest("not a channel id", code="invalid_channel_uuid")
    raise Forbidden("the token is for another channel", code="unauthorized_project_access")


def after_of(payload: msgspec.Raw) -> int | None:
    """The `after` of a join's payload; None where the client wants the latest state."""
    try:
        return msgspec.json.decode(payload, type=_Payload).after
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidRequest("`after` is the number of an entry", code="invalid_after") from None
