"""Receivers in Flask (3.1 or newer): a decorator that gives a view its verified message.

The view is not reached by what is not verified; the view's work is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any

from flask import Response, current_app, request
from werkzeug.exceptions import RequestEntityTooLarge

from ..errors import RawBodyRequired, RiverflowError, TooLarge
from .answers import DUPLICATE, WRONG_METHOD, Answer, refusal
from .receiver import Receiver

__all__ = ["webhook_view"]

View = Callable[..., Any]


def webhook_view(receiver: Receiver) -> Callable[[View], View]:
    """Decorates a view, plain or async, that takes the verified Message first: put it below `@app.post(…)`.

    A 2xx answer says that the message is done, any other (or an exception) that it must come again. A message that was
    taken before is answered without the view. Raises RawBodyRequired where the body was parsed before.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def receiving(*args: Any, **kwargs: Any) -> Response:
            if request.method != "POST":
                return _response(WRONG_METHOD)
            with ExitStack() as stack:
                try:
                    body = _body(receiver.max_body)
                    reception = stack.enter_context(receiver.receive(body, request.headers.items()))
                except RawBodyRequired:
                    raise  # a mistake in the app: it belongs into its log as what it is
                except RiverflowError as error:
                    return _response(refusal(error))
                if reception.duplicate:
                    return _response(DUPLICATE)
                answered = current_app.ensure_sync(view)(reception.message, *args, **kwargs)
                response = current_app.make_response(answered)
                reception.settle(done=200 <= response.status_code < 300)
            return response

        return receiving

    return decorate


def _body(limit: int) -> bytes:
    own = request.max_content_length
    if own is None or own > limit:
        request.max_content_length = limit + 1  # werkzeug cuts a chunked body there, and says nothing
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        raise TooLarge("the body is too large") from None
    if not body and request.content_length:
        raise RawBodyRequired("the body was read before (request.form does, and get_data(cache=False)): verify first")
    return body


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
