"""Whether a webhook is its sender's: the strongest signature there is, its time, and what it covers.

It remembers nothing: that a message came before is a replay store's to know. No setting turns a check off.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from ..errors import ConfigError, WebhookVerificationError
from .content import inflated, json_object, raw
from .dialects import DIALECTS, MR, X_MODELRIVER, Dialect, Proof, modelriver, standard, x_modelriver
from .headers import SIGNATURE, Headers, SignatureHeaders
from .message import Message
from .secrets import Key, Keyring, Secrets

__all__ = ["MAX_BODY", "TOLERANCE", "Verifier", "verify"]

TOLERANCE = 300.0
"""Seconds that a signed time may lie in the past or the future."""

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a body, compressed and not: what riverflow takes itself."""

_Check = Callable[[Iterable[Key], SignatureHeaders, bytes], Proof | None]

# The strongest first: a signature's header, the header of its time, the dialects it may be of.
_SIGNATURES: Final[tuple[tuple[str, str, frozenset[Dialect], _Check], ...]] = (
    (SIGNATURE, "webhook-timestamp", frozenset(("standard",)), standard),
    (X_MODELRIVER, "x-modelriver-timestamp", frozenset(("x-modelriver", "x-modelriver-data")), x_modelriver),
    (MR, "mr-timestamp", frozenset(("mr", "mr-javascript", "mr-python")), modelriver),
)


def verify(
    body: bytes,
    headers: Headers,
    secrets: Secrets,
    *,
    tolerance: float = TOLERANCE,
    accept: Collection[Dialect] = DIALECTS,
    max_body: int = MAX_BODY,
    now: float | None = None,
) -> Message:
    """Verify one webhook. Not a coroutine: there is nothing to await, and nothing to forget.

    `body` is the bytes as they were received, `headers` any framework's. `tolerance` is seconds, `now` Unix seconds
    (None: the clock's). Where several signatures are there, the strongest that is accepted decides: `standard`, then
    `x-modelriver`, then `mr`; a weaker one that holds does not help a stronger one that fails.

    Raises WebhookVerificationError (401), TooLarge (413), InvalidRequest (400: signed, but not a JSON object),
    RawBodyRequired (500: something else than the bytes) or ConfigError.
    """
    verifier = Verifier(secrets, tolerance=tolerance, accept=accept, max_body=max_body)
    return verifier.verify(body, headers, now=time.time() if now is None else now)


class Verifier:
    """`verify` with everything checked once that does not depend on the message. Raises ConfigError."""

    def __init__(
        self,
        secrets: Secrets,
        *,
        tolerance: float = TOLERANCE,
        accept: Collection[Dialect] = DIALECTS,
        max_body: int = MAX_BODY,
    ) -> None:
        self._keyring = Keyring(secrets)
        self._tolerance = _tolerance(tolerance)
        self._accept = _dialects(accept)
        if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 1:
            raise ConfigError("max_body is a number of bytes, 1 or more")
        self.max_body = max_body

    def verify(self, body: bytes, headers: Headers, *, now: float) -> Message:
        """As the function `verify`."""
        body = raw(body, self.max_body)
        keys = self._keyring.active(now)
        if not keys:
            raise WebhookVerificationError("no_active_secret", "each secret of this receiver has expired")
        fields = SignatureHeaders(headers)
        timestamp, proofs = self._prove(keys, fields, body, now)
        return self._message(fields, body, timestamp, proofs)

    def _prove(
        self, keys: tuple[Key, ...], fields: SignatureHeaders, body: bytes, now: float
    ) -> tuple[int | None, list[Proof]]:
        """The signed time, and what holds: first what the payload is taken from, then by what other signatures the same
        message could be sent again."""
        present = [each for each in _SIGNATURES if each[0] in fields]
        decisive = next((each for each in present if each[2] & self._accept), None)
        if decisive is None:
            raise WebhookVerificationError("missing_signature", "there is no signature of a dialect that is accepted")
        name, timed, _, check = decisive
        timestamp = self._timestamp(name, timed, fields, now)
        proof = check(keys, fields, body)
        if proof is None:
            raise WebhookVerificationError("wrong_signature", f"{name} is of no active secret over this message")
        others = [_quietly(each[3], keys, fields, body) for each in present if each is not decisive]
        held = [proof, *(other for other in others if other is not None)]
        if not proof.whole:  # `mr` covers the body whose `data` was signed with its time
            held.sort(key=lambda each: not each.whole or each.dialect not in self._accept)
        if held[0].dialect not in self._accept:
            raise WebhookVerificationError("dialect_not_accepted", f"it is signed by {proof.dialect} only")
        return timestamp, held

    def _timestamp(self, name: str, timed: str, fields: SignatureHeaders, now: float) -> int | None:
        """A signed time, within the tolerance. `mr-timestamp` is not signed: it is looked at where it is there, and
        proves nothing."""
        if name == MR and timed not in fields:
            return None
        timestamp = int(fields.timestamp(timed))
        # Written so that no NaN passes: a comparison with one is false.
        if not timestamp >= now - self._tolerance:
            raise WebhookVerificationError("too_old", f"{timed} is {now - timestamp:.0f} s ago; {self._allowed}")
        if not timestamp <= now + self._tolerance:
            raise WebhookVerificationError("too_new", f"{timed} is {timestamp - now:.0f} s ahead; {self._allowed}")
        return None if name == MR else timestamp

    @property
    def _allowed(self) -> str:
        return f"{self._tolerance:g} s are allowed"

    def _message(self, fields: SignatureHeaders, body: bytes, timestamp: int | None, proofs: list[Proof]) -> Message:
        proof = proofs[0]
        if proof.whole:
            text = proof.text if proof.written_anew else inflated(body, fields.get("content-encoding"), self.max_body)
            payload, unsigned = json_object(text), {}
        else:
            payload, unsigned = json_object(b'{"data":%b}' % proof.text), json_object(body)
            del unsigned["data"]
        return Message(
            id=fields.id().decode() if proof.dialect == "standard" else proof.id,
            dialect=proof.dialect,
            payload=payload,
            body=body,
            timestamp=timestamp,
            unsigned=unsigned,
            replay_keys=tuple(dict.fromkeys(mark for each in proofs for mark in each.marks)),
        )


def _quietly(check: _Check, keys: tuple[Key, ...], fields: SignatureHeaders, body: bytes) -> Proof | None:
    """A signature that does not decide may be as malformed as it likes."""
    try:
        return check(keys, fields, body)
    except WebhookVerificationError:
        return None


def _tolerance(seconds: Any) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ConfigError("tolerance is a finite number of seconds, more than 0")  # NaN compares false too
    return float(seconds)


def _dialects(accept: Any) -> frozenset[Dialect]:
    names = frozenset((accept,) if isinstance(accept, str) else accept)
    if not names or not names <= DIALECTS:
        raise ConfigError(f"accept names one or more of {', '.join(sorted(DIALECTS))}; not {sorted(map(str, names))}")
    return names
