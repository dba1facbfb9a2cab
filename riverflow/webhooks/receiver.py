"""A receiver: verifies each message, and takes each but once.

It reads no request and writes no answer: the adapters do, each in its framework's words.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from ..errors import ConfigError, RiverflowError
from .claims import Claim
from .dialects import DIALECTS, Dialect
from .headers import Headers
from .message import Message
from .replays import MemoryReplays, ReplayStore
from .secrets import Secrets
from .verification import MAX_BODY, TOLERANCE, Verifier

__all__ = ["Receiver", "Reception"]

_log = logging.getLogger("riverflow.webhooks")

LEASE = 30.0  # seconds: as long as riverflow waits for an acknowledgement
KEEP = 4 * 86400.0  # seconds: over the longest usual schedule of tries (Standard Webhooks: 75 h 35 m)


class Receiver:
    """What a webhook's route needs to know, made once.

    `secrets`, `tolerance`, `accept` and `max_body` are those of `verify`. `replays` remembers what was taken (None: in
    this process's memory; several processes share a SQLiteReplays). A message is kept in mind for `keep` seconds, and
    counts as being worked on for `lease` seconds: if the process dies over it, the sender's next try after that is
    taken. Two receivers that share a store and do different things with one message need different `scope`s.
    `clock` gives Unix seconds.

    Raises ConfigError.
    """

    def __init__(
        self,
        secrets: Secrets,
        *,
        tolerance: float = TOLERANCE,
        accept: Collection[Dialect] = DIALECTS,
        max_body: int = MAX_BODY,
        replays: ReplayStore | None = None,
        scope: str = "",
        keep: float = KEEP,
        lease: float = LEASE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = Verifier(secrets, tolerance=tolerance, accept=accept, max_body=max_body)
        self._replays = MemoryReplays() if replays is None else replays
        if not (lease > 0 and keep >= 2 * tolerance):  # also false where one is NaN
            raise ConfigError(
                "lease is more than 0 s, and keep at least twice the tolerance: replays are good that long"
            )
        self._scope, self._keep, self._lease, self._clock = scope, keep, lease, clock

    @property
    def max_body(self) -> int:
        """Bytes of the largest body that is read."""
        return self._verifier.max_body

    def verify(self, body: bytes, headers: Headers) -> Message:
        """The verified message, whether it came before or not. Raises as the function `verify`."""
        return self._verifier.verify(body, headers, now=self._clock())

    def receive(self, body: bytes, headers: Headers) -> Reception:
        """Verify a message, here and now, and give what takes it: `with` or `async with` it.

        Raises as the function `verify`; entering it raises Conflict (409: it is being worked on) and StoreUnavailable
        (503).
        """
        message = self.verify(body, headers)
        keys = tuple(f"{self._scope}:{key}" for key in message.replay_keys)
        return Reception(message, Claim(self._replays, keys, self._clock, lease=self._lease, keep=self._keep))


class Reception:
    """One message being taken, from its claim to its end.

    Leaving the block says that the work is done; leaving it by an exception, or after `settle(done=False)`, that it is
    not: then the sender's next try is taken as if it were the first. Within the block, `duplicate` says whether the
    work was done before: answer 2xx and do nothing.
    """

    def __init__(self, message: Message, claim: Claim) -> None:
        self.message = message
        self._claim = claim
        self._duplicate: bool | None = None
        self._settled = False

    @property
    def duplicate(self) -> bool:
        """Whether the message was taken before. Raises ConfigError before the block is entered."""
        if self._duplicate is None:
            raise ConfigError("a reception is entered first: `with receiver.receive(…) as reception:`, or `async with`")
        return self._duplicate

    def __enter__(self) -> Self:
        self._duplicate = self._settled = self._claim.begin()
        return self

    async def __aenter__(self) -> Self:
        self._duplicate = self._settled = await self._claim.begin_async()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(done=error is None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.settle_async(done=error is None)

    def settle(self, *, done: bool) -> None:
        """Say before the block's end how it ended; only the first time counts. A store that fails now is logged: the
        work is done, or it is not, and the answer to the sender says which."""
        if self._settle():
            try:
                self._claim.end(done=done)
            except RiverflowError as error:
                self._log(error)

    async def settle_async(self, *, done: bool) -> None:
        """`settle`, within `async with`."""
        if self._settle():
            try:
                await self._claim.end_async(done=done)
            except RiverflowError as error:
                self._log(error)

    def _settle(self) -> bool:
        first, self._settled = not self._settled, True
        return first

    def _log(self, error: RiverflowError) -> None:
        _log.error("the replay store does not know how message %s ended: %s", self.message.id, error)
