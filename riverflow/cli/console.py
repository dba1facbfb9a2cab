"""A client of riverflow's own HTTP API, for commands that set something up as a user would."""

from __future__ import annotations

import json
from typing import Any

from ..errors import RiverflowError
from ..ports import HttpClient, HttpRequest

__all__ = ["Console"]


class Console:
    """Speaks to the riverflow at `url` with an API key."""

    def __init__(self, http: HttpClient, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._http = http

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON object. Raises RiverflowError with what riverflow said where it refused."""
        request = HttpRequest(
            method="POST",
            url=f"{self.url}{path}",
            headers=(("authorization", f"Bearer {self.key}"), ("content-type", "application/json")),
            body=json.dumps(body).encode(),
            purpose="provider",
            timeout=10.0,
            max_body=1024 * 1024,
        )
        response = await self._http.send(request)
        answer: dict[str, Any] = json.loads(response.body)
        if response.status >= 300:
            raise RiverflowError(f"POST {path} was answered {response.status}: {answer.get('message')}")
        return answer
