"""The headers that an attempt of a delivery was sent with, as far as they follow from what is kept.

Nothing is written down for this when a delivery goes out: the signers are asked again, with secrets that are nobody's,
and what depends on a secret is shown as `…`. A header whose value cannot be known is left out, never guessed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from . import _callbacks, _links
from ._directory import ENDPOINT, Directory, Stored
from ._settling import UNSENT
from .hops import HOPS
from .models import DEFAULT_SIGNERS, Delivery, Endpoint, Entry, MaybeJson, OutgoingMessage
from .ports import Signer

__all__ = ["HIDDEN", "Headers", "Sent"]

HIDDEN = "…"

Headers = Mapping[int, dict[str, str]]
"""Of attempts, by the number of their entry in the run's log."""

logger = logging.getLogger("riverflow.sent")

_OWN = {"content-type": "application/json", HOPS: "1"}
_SIGNED = frozenset({"http", "https", "asgi"})  # what other senders make of a delivery is theirs to know
_NEVER_LEFT = UNSENT | {"tls_error"}
_STALE = 5.0  # seconds in which another process may not have heard that an endpoint was changed
_EARLIER, _LATER = 0.001, 0.02  # seconds by which an attempt may have been signed beside when it seems to have begun
_NOBODYS = "whsec_bm9ib2R5J3M="
_ELSES = "whsec_bm9ib2R5IGVsc2Uncw=="


class _Attempted(msgspec.Struct):
    delivery_id: str
    url: str
    duration_ms: int = 0
    endpoint_id: str | None = None
    error: str | None = None
    first_try: MaybeJson = None


class _HandOff(msgspec.Struct):
    callback_url: str | None = None
    callback_token: str | None = None


_attempted = msgspec.json.Decoder(_Attempted)
_hand_off = msgspec.json.Decoder(_HandOff)


class Sent:
    """Says what was sent, by the endpoints and signers that there are now."""

    def __init__(self, directory: Directory, signers: Mapping[str, Signer]) -> None:
        self._directory = directory
        self._signers = signers

    async def headers(self, project_id: str, deliveries: Iterable[Delivery], entries: Iterable[Entry]) -> Headers:
        """The headers of all attempts among the entries in which one of the deliveries, with its body, was sent."""
        attempts = [(each, _attempted.decode(each.data)) for each in entries if each.kind == "delivery.attempted"]
        if not attempts:
            return {}
        owed = {delivery.id: delivery for delivery in deliveries}
        endpoints = await self._directory.all(project_id, ENDPOINT)
        return {
            entry.number: self._of(owed[said.delivery_id], said, entry.at, endpoints)
            for entry, said in attempts
            if said.delivery_id in owed and _was_sent(said)
        }

    def _of(self, delivery: Delivery, said: _Attempted, at: float, endpoints: Mapping[str, Stored]) -> dict[str, str]:
        began = at - said.duration_ms / 1000
        back = _hand_off.decode(delivery.body)
        message = OutgoingMessage(
            id=delivery.id,
            timestamp=int(began),
            body=b"{}",
            channel_id=delivery.run_id,
            callback_url=back.callback_url,
        )
        exact = said.first_try is None and int(began - _EARLIER) == int(began + _LATER)
        headers = {**_OWN}
        for name in _signers_of(said, began, endpoints):
            if (signer := self._signers.get(name)) is not None:
                headers |= _signed(signer, message, exact)
        if back.callback_token is not None:
            headers["riverflow-callback-token"] = HIDDEN
        return headers


def _was_sent(said: _Attempted) -> bool:
    return said.url.partition(":")[0] in _SIGNED and said.error not in _NEVER_LEFT


def _signers_of(said: _Attempted, began: float, endpoints: Mapping[str, Stored]) -> Sequence[str]:
    """Who signed an attempt; nobody, where the endpoint is gone or has had other signers. One that is defined in code
    counts as it is now."""
    if said.endpoint_id is None:
        return DEFAULT_SIGNERS
    stored = endpoints.get(said.endpoint_id)
    if stored is None:
        return ()
    endpoint: Endpoint = stored.value
    changed = endpoint.signers_since
    return endpoint.signers if changed is None or began > changed + _STALE else ()


def _signed(signer: Signer, message: OutgoingMessage, exact: bool) -> dict[str, str]:
    """A signer's headers: those that depend on its secret are hidden, those that depend on what is not known (the body
    here is a stand-in; the second of the signing, where it is not `exact`) left out."""
    try:
        headers = signer.sign(message, _NOBODYS)
        elses = signer.sign(message, _ELSES)
        others = [signer.sign(msgspec.structs.replace(message, body=b'{"data":1}'), _NOBODYS)]
        if not exact:
            others.append(signer.sign(msgspec.structs.replace(message, timestamp=message.timestamp + 1), _NOBODYS))
    except Exception:  # a plugin's, which may want secrets of another kind: its headers are not known then
        logger.debug("a signer does not take a stand-in for a secret", exc_info=True)
        return {}
    shown: dict[str, str] = {}
    for name, value in headers.items():
        if elses.get(name) != value:
            shown[name.lower()] = HIDDEN
        elif all(other.get(name) == value for other in others):
            shown[name.lower()] = _links.masked(_callbacks.masked(value.encode())).decode()
    return shown
