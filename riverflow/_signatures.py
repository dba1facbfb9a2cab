"""The signature headers of one delivery: every signer's, over the same bytes, with every secret that holds.

While a secret is being replaced, both sign. A header that may list several signatures carries one of each secret; a
header that holds one goes on with the oldest secret until its overlap is over, so that receivers which know only that
one verify until then. This module sends nothing and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .models import OutgoingMessage
from .ports import Signer

__all__ = ["signature_headers"]


def signature_headers(signers: Iterable[Signer], message: OutgoingMessage, secrets: Sequence[str]) -> dict[str, str]:
    """The headers of all signers; `secrets` are one or more, newest first."""
    headers: dict[str, str] = {}
    for signer in signers:
        lists = getattr(signer, "lists", ()) if len(secrets) > 1 else ()
        if lists:
            headers.update(_joined([signer.sign(message, secret) for secret in secrets], lists))
        else:
            headers.update(signer.sign(message, secrets[-1]))
    return headers


def _joined(each: Sequence[Mapping[str, str]], lists: Iterable[str]) -> dict[str, str]:
    """The newest secret's headers, with every secret's signature in those that list them."""
    return {**each[0], **{name: " ".join(headers[name] for headers in each) for name in lists}}
