"""Receivers in Django: a decorator that gives a view its verified message, without the CSRF check of forms.

The view is not reached by what is not verified; the view's work is its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from django.core.exceptions import RequestDataTooBig  # type: ignore[import-untyped, import-not-found, unused-ignore]
from django.http import HttpResponse  # type: ignore[import-untyped, import-not-found, unused-ignore]
from django.http.request import RawPostDataException  # type: ignore[import-untyped, import-not-found, unused-ignore]
from django.views.decorators.csrf import csrf_exempt  # type: ignore[import-untyped, import-not-found, unused-ignore]

from ..errors import RawBodyRequired, RiverflowError, TooLarge
from .answers import DUPLICATE, WRONG_METHOD, Answer, refusal
from .receiver import Receiver, Reception

__all__ = ["webhook_view"]

View = Callable[..., Any]


def webhook_view(receiver: Receiver) -> Callable[[View], View]:
    """Decorates a view, plain or async, called with the request and the verified Message: `def view(request, message)`.

    A 2xx answer says that the message is done, any other (or an exception) that it must come again. A message that was
    taken before is answered without the view. Django's own DATA_UPLOAD_MAX_MEMORY_SIZE (2.5 MB) holds beside
    `max_body`. Raises RawBodyRequired where the body was parsed before.
    """

    def decorate(view: View) -> View:
        wrapped = _asynchronous(view, receiver) if iscoroutinefunction(view) else _plain(view, receiver)
        exempt: View = csrf_exempt(wraps(view)(wrapped))
        return exempt

    return decorate


def _plain(view: View, receiver: Receiver) -> View:
    def receiving(request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method != "POST":
            return _response(WRONG_METHOD)
        with ExitStack() as stack:
            try:
                reception = stack.enter_context(_received(request, receiver))
            except RawBodyRequired:
                raise  # a mistake in the app: it belongs into its log as what it is
            except RiverflowError as error:
                return _response(refusal(error))
            if reception.duplicate:
                return _response(DUPLICATE)
            response = view(request, reception.message, *args, **kwargs)
            reception.settle(done=_is_done(response))
        return response

    return receiving


def _asynchronous(view: Callable[..., Awaitable[Any]], receiver: Receiver) -> View:
    async def receiving(request: Any, *args: Any, **kwargs: Any) -> Any:
        if request.method != "POST":
            return _response(WRONG_METHOD)
        async with AsyncExitStack() as stack:
            try:
                reception = await stack.enter_async_context(_received(request, receiver))
            except RawBodyRequired:
                raise  # as above
            except RiverflowError as error:
                return _response(refusal(error))
            if reception.duplicate:
                return _response(DUPLICATE)
            response = await view(request, reception.message, *args, **kwargs)
            await reception.settle_async(done=_is_done(response))
        return response

    return receiving


def _received(request: Any, receiver: Receiver) -> Reception:
    try:
        return receiver.receive(request.body, request.headers)
    except RequestDataTooBig:
        raise TooLarge("the body is larger than DATA_UPLOAD_MAX_MEMORY_SIZE") from None
    except RawPostDataException as error:
        raise RawBodyRequired("the request was read before (request.POST and request.read do): verify first") from error


def _is_done(response: Any) -> bool:
    """Django itself says clearly what is wrong where a view returns no response."""
    return 200 <= getattr(response, "status_code", 500) < 300


def _response(answer: Answer) -> Any:
    return HttpResponse(answer.body, status=answer.status, headers=answer.headers)
