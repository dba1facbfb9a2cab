"""riverflow around a Litestar app. Litestar shows the lifespan to none of its own middleware, so this one is outside.

    RIVERFLOW_ENV=development RIVERFLOW_API_KEY=secret uvicorn examples.litestar_app:app
    curl localhost:8000/summary
    curl localhost:8000/delivered

There is no event name, so nothing waits: the result goes to the browser, and as a signed `task.completed` webhook to a
route of this app. `asgi:///…` brings it there without the network.
"""

import hashlib
import hmac
import json
import os
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException

from riverflow import Endpoint, Riverflow, RiverflowMiddleware, Workflow

SECRET = os.environ.get("WEBHOOK_SECRET", "whsec_cml2ZXJmbG93LWV4YW1wbGUtc2VjcmV0LTMyYnl0ZXM=")

river = Riverflow(
    workflows=[Workflow(name="summary", provider="echo", template="In short: {{ messages.0.content }}")],
    endpoints=[Endpoint(url="asgi:///webhooks/ai", secret=SECRET)],
)
delivered: dict[str, Any] = {}


@post("/webhooks/ai", status_code=200)
async def webhook(request: Request[Any, Any, Any]) -> dict[str, bool]:
    body = await request.body()
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get("mr-signature", ""), expected):
        raise NotAuthorizedException("wrong signature")
    event = json.loads(body)
    delivered[event["channel_id"]] = event  # keyed by channel: a webhook may come twice
    return {"received": True}


@get("/summary")
async def summary() -> dict[str, Any]:
    run = await river.submit(workflow="summary", messages=[{"role": "user", "content": "a refund for order 12345"}])
    return await run.result()


@get("/delivered")
async def what_was_delivered() -> dict[str, Any]:
    return delivered


app = RiverflowMiddleware(Litestar([webhook, summary, what_was_delivered]), river=river)
