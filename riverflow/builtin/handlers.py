"""The sender of `local:` URLs: it calls an in-process handler as if it were a backend behind a webhook.

It keeps no record of calls, retries nothing and chooses no handler: the URL names it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread

from .. import codec
from ..errors import Failure, HandlerError
from ..event import Event, Result
from ..hookspecs import hookimpl
from ..models import Answer, Completed, Deferred, Delivery, Failed, Json
from ..ports import Context, Handler, Sender
from ..time_limit import TimeLimit

__all__ = ["HandlerSender"]

SCHEME = "local"
MESSAGE_LIMIT = 500  # characters of a foreign exception's text that reach the log and the console
THREADS = 40  # anyio's own default; apart from it, so that slow handlers do not starve the host app's threads

_log = logging.getLogger("riverflow.handlers")


class _InvalidResult(HandlerError):
    """What a handler returned cannot be an answer; trying again would return the same."""

    retryable = False


class HandlerSender:
    """Calls the handler that `local:<event>` names, with an Event.

    What it returns decides the stage: a JSON object or a Result completes it, Deferred leaves it waiting, Failure
    fails it, and so does a result that is no JSON object. Any other exception or a timeout is an attempt that failed.
    What a handler of `task.completed` or `task.failed` returns is ignored.
    """

    signs = False

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._are_async: dict[str, bool] = {}  # by name: to find out takes longer than the rest of a call
        self._threads = anyio.CapacityLimiter(THREADS)

    async def send(self, delivery: Delivery, signed: Mapping[str, str], timeout: float) -> Answer:
        """Call the handler and wait for it, `timeout` seconds at most."""
        name = delivery.url.removeprefix(f"{SCHEME}:")
        handler = self._handlers.get(name)
        if handler is None:
            return Answer(error="no_handler", message=f"no handler is registered for {name!r} in this process")
        event = Event(delivery)
        limit = TimeLimit(timeout)
        try:
            with limit:
                returned = await self._call(name, handler, event)
            return _answer(event, returned)
        except Failure as failure:
            return _failure(event, failure)
        except _InvalidResult as error:
            _log.error("handler of %r (channel %s): %s", name, delivery.run_id, error)
            return Answer(status=200, outcome=Failed(code="invalid_result", message=str(error)))
        except asyncio.CancelledError as error:
            if _cancelled():
                raise
            return _broken(name, delivery, error)
        except (Exception, SystemExit) as error:
            if isinstance(error, TimeoutError) and limit.over:
                return Answer(error="timeout", message=f"the handler took longer than {timeout:g} s")
            return _broken(name, delivery, error)

    async def _call(self, name: str, handler: Handler, event: Event) -> Any:
        is_async = self._are_async.get(name)
        if is_async is None:
            is_async = self._are_async[name] = _is_async(handler)
        if is_async:
            return await handler(event)
        returned = await anyio.to_thread.run_sync(handler, event, abandon_on_cancel=True, limiter=self._threads)
        return await returned if inspect.isawaitable(returned) else returned


def _is_async(handler: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def _cancelled() -> bool:
    """Whether this task itself was cancelled, rather than something the handler waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _answer(event: Event, returned: Any) -> Answer:
    if not event.expects_answer:
        return Answer(status=200)
    if isinstance(returned, Deferred):
        return Answer(status=202, outcome=returned)
    completed = _completed(event.name, returned if isinstance(returned, Result) else Result(returned))
    return Answer(status=200, outcome=completed)


def _completed(name: str, result: Result) -> Completed:
    """The outcome that a result stands for. Raises _InvalidResult where the wire's callback could not carry it."""
    data = _json(name, result.data)
    if not bytes(data).startswith(b"{"):
        raise _InvalidResult(
            f"the handler of {name!r} returned {type(result.data).__name__}; return a dict (a JSON object), a Result, "
            "or event.defer()"
        )
    metadata = None if result.metadata is None else _json(name, result.metadata)
    return Completed(data=data, task_id=result.task_id, metadata=metadata)


def _json(name: str, value: Any) -> Json:
    try:
        return codec.from_python(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _InvalidResult(f"what the handler of {name!r} returned has no JSON form: {error}") from error


def _failure(event: Event, failure: Failure) -> Answer:
    if not event.expects_answer:
        return Answer(error=failure.code, message=failure.message, final=True)
    return Answer(status=200, outcome=Failed(code=failure.code, message=failure.message))


def _broken(name: str, delivery: Delivery, error: BaseException) -> Answer:
    _log.warning(
        "handler of %r failed (channel %s, attempt %d)", name, delivery.run_id, delivery.attempt, exc_info=error
    )
    if isinstance(error, HandlerError):  # said on purpose: the browser may be told, where nothing else comes of it
        return Answer(error="handler_failed", message=str(error)[:MESSAGE_LIMIT])
    return Answer(error="handler_error", message=f"{type(error).__name__}: {error}"[:MESSAGE_LIMIT])


@hookimpl
def riverflow_senders() -> Mapping[str, Callable[[Context], Sender]]:
    """In-process handlers."""
    return {SCHEME: lambda context: HandlerSender(context.handlers)}
