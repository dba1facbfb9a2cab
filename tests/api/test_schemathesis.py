"""schemathesis against the app, by the document that it serves: whatever is sent, the answer is one of those described.

Examples are few and always the same; RIVERFLOW_SCHEMATHESIS_EXAMPLES asks for more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.python.asgi import ASGIClient, get_client, shutdown_lifespans

from riverflow import Riverflow, Workflow
from riverflow.routes import ROUTES

from .desk import KEY

EXAMPLES = int(os.environ.get("RIVERFLOW_SCHEMATHESIS_EXAMPLES", "4"))
BEARER = {"Authorization": f"Bearer {KEY}"}
STREAMS = [("GET", "/v1/ai/{channel_id}/events"), ("GET", "/v1/ai/{channel_id}/timeline/events")]
OPERATIONS = [*((route.method, route.path) for route in ROUTES), *STREAMS]
CONFIG = {
    "checks": {
        # Whether a schema-valid request is accepted depends on what is configured: names, URLs, states.
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 410, 413, 414, 422, 431]},
    }
}


@pytest.fixture(scope="module")
def river() -> Iterator[Riverflow]:
    river = Riverflow(
        database_url="memory://",
        api_key=KEY,
        env="development",
        environ={},
        discover_plugins=False,
        rate_limit_rationed=0,
        workflows=[
            Workflow(name="plain", provider="echo", template="hello"),
            Workflow(name="movie", provider="echo", template="hello", event_name="new_movie"),
        ],
    )
    yield river
    shutdown_lifespans()


@pytest.fixture(scope="module")
def schema(river: Riverflow) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", river, config=schemathesis.Config.from_dict(CONFIG))


class Things:
    """Makes what a path can name, so that not all is 404."""

    def __init__(self, client: ASGIClient) -> None:
        self._client = client
        self._numbers = count()

    def named(self, path: str) -> dict[str, str]:
        """Parameters of the path that name something which is there."""
        if "{channel_id}" in path:
            run = self._made("/v1/ai/async", {"workflow": "movie"})
            return {"channel_id": run["channel_id"], "stage": "enrich"}
        if "{name}" in path:
            kind = path.split("/")[2]
            made = self._made(f"/console/{kind}", self._body(kind))
            return {"name": made["provider"] if kind == "credential" else made.get("id", made.get("name"))}
        return {}

    def _made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._client.post(path, json=body, headers=BEARER)
        if response.status_code == 409:
            return body
        assert response.status_code in (200, 201), response.text
        made: dict[str, Any] = response.json()
        if path in ("/console/workflow", "/console/structured_output"):
            del made["id"]  # these are known by their names
        return made

    def _body(self, kind: str) -> dict[str, Any]:
        name = f"thing_{next(self._numbers)}"
        return {
            "workflow": {"name": name, "provider": "echo", "template": "x"},
            "structured_output": {"name": name, "schema": {"type": "object"}},
            "webhook": {"url": "https://example.com/"},
            "credential": {"provider": "openai", "api_key": "sk-of-nobody"},
        }.get(kind, {"name": name})


@pytest.fixture(scope="module")
def things(river: Riverflow) -> Iterator[Things]:
    with get_client(river) as client:
        yield Things(client)


def test_every_operation_is_tried(schema: Any) -> None:
    described = {(result.ok().method.upper(), result.ok().path) for result in schema.get_all_operations()}
    assert described == set(OPERATIONS)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_sent_is_answered_as_described(schema: Any, things: Things, method: str, path: str) -> None:
    operation = schema[path][method]
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode), there=st.booleans())
        def check(case: Any, there: bool) -> None:
            if there and not path.endswith("/events"):  # a stream of what is there does not end
                case.path_parameters.update(things.named(path))
            if there and path == "/v1/ai/async" and isinstance(case.body, dict):
                case.body["workflow"] = "movie"
            case.call_and_validate(headers=BEARER, excluded_checks=_unsuited(case))

        check()


def _unsuited(case: Any) -> list[Any]:
    """Checks that would complain for nothing: the key is always sent whatever is wrong with the headers, a path may
    have been set right, and parameters that nobody reads are nobody's business."""
    body = case.meta.components.get(ParameterLocation.BODY)
    if body is not None and body.mode is GenerationMode.NEGATIVE:
        return []
    return [schemathesis.checks.CHECKS.get_one("negative_data_rejection")]
