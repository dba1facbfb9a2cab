"""Bad input and trouble: each a clear error, never a 500, never a hung client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from riverflow import Workflow

from .desk import KEY, NOBODY, Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

# What no door may take --------------------------------------------------------------------------------------

NOT_JSON = {
    "nothing": b"",
    "half": b'{"workflow": "mov',
    "text": b"workflow=movie",
    "trailing comma": b'{"workflow": "movie",}',
    "two values": b"{} {}",
    "not UTF-8": b'{"workflow": "\xff"}',
    "NaN": b'{"workflow": NaN}',
    "lone surrogate": b'{"workflow": "movie", "metadata": "\\ud800"}',
    "infinite number": b'{"workflow": "movie", "metadata": 1e999}',
    "byte order mark": b'\xef\xbb\xbf{"workflow": "movie"}',
    "NUL": b"\x00",
}
NESTED = {
    "arrays": b"[" * 100_000 + b"]" * 100_000,
    "unclosed": b"[" * 100_000,
    "objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
}
DOORS = [
    ("POST", "/v1/ai/async"),
    ("POST", "/v1/ai/reconnect"),
    ("POST", f"/v1/callback/{NOBODY}"),
    ("POST", f"/v1/callback/{NOBODY}/enrich"),
    ("POST", "/console/workflow"),
    ("POST", "/console/webhook"),
    ("POST", "/console/structured_output"),
]


async def test_what_is_not_json_is_400_at_every_door(desk: Desk) -> None:
    for method, path in DOORS:
        for name, body in {**NOT_JSON, **NESTED}.items():
            response = await desk.client.request(method, path, content=body)
            assert response.status_code == 400, f"{path}, {name}: {response.text}"
            problem(response, 400)


async def test_json_that_is_no_object_is_400_at_every_door(desk: Desk) -> None:
    for method, path in DOORS:
        for body in (b"null", b"[]", b"[1]", b'"movie"', b"1", b"true"):
            problem(await desk.client.request(method, path, content=body), 400)


@pytest.mark.parametrize("depth", [50, 120, 200, 330, 900, 3000])
async def test_any_depth_of_nesting_is_taken_or_refused_but_never_breaks_anything(desk: Desk, depth: int) -> None:
    leaf = b'[1e21,{"10":1,"9":2}]'
    deep = b"[" * depth + leaf + b"]" * depth
    for body in (b'{"a":' * depth + leaf + b"}" * depth, deep):
        for request in (
            b'{"workflow":"plain","metadata":%b}' % body,
            b'{"workflow":"plain","customer_data":{"x":%b}}' % body,
            b'{"workflow":"plain","structured_output_schema":{"const":%b}}' % body,
        ):
            response = await desk.client.post("/v1/ai/async", content=request)
            assert response.status_code in (200, 400, 422), response.text
            if response.status_code == 200 and b"schema" not in request:
                await desk.until(response.json()["channel_id"], "success", "error")
            elif response.status_code != 200:
                problem(response, response.status_code)
        for path, request in (
            ("/v1/ai/reconnect", b'{"channel_id":"%b","x":%b}' % (NOBODY.encode(), body)),
            (f"/v1/callback/{NOBODY}", b'{"data":{"x":%b}}' % body),
        ):
            response = await desk.client.post(path, content=request)
            assert response.status_code in (400, 404), response.text
        for path, request in (
            ("/console/workflow", b'{"name":"deep","provider":"echo","sample_data":%b}' % body),
            ("/console/structured_output", b'{"name":"deep","schema":{"const":%b}}' % body),
        ):
            response = await desk.client.post(path, content=request)
            assert response.status_code in (201, 400, 409, 422), response.text


WRONG_TYPES = [
    ("workflow", 5),
    ("workflow", ["movie"]),
    ("messages", "hello"),
    ("messages", {"role": "user"}),
    ("prompt", 5),
    ("customer_data", "u1"),
    ("customer_data", [1]),
    ("structured_output_schema", "schema"),
    ("stream", "yes"),
    ("temperature", "hot"),
    ("max_tokens", 1.5),
    ("tools", {}),
    ("webhook_url", 5),
    ("events", "new_movie"),
    ("events", [1]),
    ("callback_timeout", "soon"),
    ("callback_timeout", 0),
    ("callback_timeout", -1),
    ("callback_timeout", 1e12),
    ("test_mode", 1),
]


async def test_a_field_of_the_wrong_type_is_400_and_named(desk: Desk) -> None:
    for field, value in WRONG_TYPES:
        response = await desk.client.post("/v1/ai/async", json={"workflow": "movie", field: value})
        assert field in problem(response, 400, "invalid_type")["message"], value


async def test_numbers_beyond_every_machine_type_are_taken_or_refused(desk: Desk) -> None:
    for number in ("9" * 30, "-" + "9" * 30, "9" * 5000, "1" + "0" * 400, "1.7976931348623157e308", "5e-324"):
        body = f'{{"workflow":"plain","metadata":{{"n":{number}}},"customer_data":{{"n":{number}}}}}'
        response = await desk.client.post("/v1/ai/async", content=body)
        assert response.status_code in (200, 400), (number, response.text)
        callback = await desk.client.post(
            f"/v1/callback/{NOBODY}", content=f'{{"data":{{"n":{number}}},"task_id":{number}}}'
        )
        assert callback.status_code in (400, 404), (number, callback.text)


async def test_a_submission_names_a_workflow(desk: Desk) -> None:
    for body in ({}, {"messages": []}, {"workflow": ""}, {"provider": "echo"}, {"model": "x"}):
        assert problem(await desk.client.post("/v1/ai/async", json=body), 400)["error"]["param"] == "workflow"


async def test_an_unknown_workflow_is_404_in_the_words_of_the_contract(desk: Desk) -> None:
    response = await desk.client.post("/v1/ai/async", json={"workflow": "no_such"})
    error = problem(response, 404, "model_not_found")["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == "workflow"
    assert "no_such" in error["message"]


NO_URLS = [
    "asgi:///webhook",
    "local:new_movie",
    "file:///etc/passwd",
    "ftp://example.com/",
    "example.com/webhook",
    "http://",
    "https://exa mple.com/",
    "https://example.com:99999/",
    "https://example.com/\r\nx-evil: 1",
    "https://" + "a" * 3000 + ".com/",
    "",
]


async def test_a_webhook_url_that_is_none_is_422(desk: Desk) -> None:
    for url in NO_URLS:
        submitted = await desk.client.post("/v1/ai/async", json={"workflow": "movie", "webhook_url": url})
        assert problem(submitted, 422, "invalid_url")["error"]["param"] == "webhook_url", url
        registered = await desk.client.post("/console/webhook", json={"url": url})
        assert problem(registered, 422, "invalid_url")["error"]["param"] == "url", url


async def test_in_production_only_https_is_told(seated: Sit) -> None:
    async with seated(env="production", public_url="https://example.com/river") as desk:
        for path, field in (("/v1/ai/async", "webhook_url"), ("/console/webhook", "url")):
            body = {"workflow": "movie", field: "http://example.com/"}
            problem(await desk.client.post(path, json=body), 422, "https_required")


async def test_a_request_schema_that_is_none_is_422(desk: Desk) -> None:
    for schema in ({"type": "no_such_type"}, {"type": "object", "properties": {"a": {"type": 5}}}):
        for fields in (
            {"structured_output_schema": schema},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        ):
            response = await desk.client.post("/v1/ai/async", json={"workflow": "plain", **fields})
            problem(response, 422, "invalid_schema")


async def test_a_missing_provider_key_is_told_on_the_channel(seated: Sit) -> None:
    async with seated(workflows=[Workflow(name="keyless", provider="openai", model="gpt-4o")]) as desk:
        run = await desk.submit("keyless", messages=[{"role": "user", "content": "hi"}])
        state = await desk.until(run["channel_id"], "error")
    assert state["status"] == "error"
    assert state["error"]["code"] == "missing_credentials"
    assert "OPENAI_API_KEY" in state["error"]["message"]
    assert state["meta"]["status"] == "error"


# Sizes ------------------------------------------------------------------------------------------------------


async def test_a_body_over_the_limit_is_413_with_and_without_a_length(seated: Sit) -> None:
    async with seated(max_body_bytes=1000) as desk:
        fits = json.dumps({"workflow": "plain", "x": ""}).encode()
        fits = fits[:-2] + b"x" * (1000 - len(fits)) + fits[-2:]
        assert (await desk.client.post("/v1/ai/async", content=fits)).status_code == 200
        assert (await desk.client.post("/v1/ai/async", content=_chunks(fits, 100))).status_code == 200
        large = fits[:-2] + b"x" + fits[-2:]
        for _, path in DOORS:
            assert "1000" in problem(await desk.client.post(path, content=large), 413, "body_too_large")["message"]
            problem(await desk.client.post(path, content=_chunks(large, 100)), 413, "body_too_large")
            problem(await desk.client.post(path, content=_chunks(large, 5000)), 413, "body_too_large")


async def test_an_endless_body_is_cut_off(seated: Sit) -> None:
    async with seated(max_body_bytes=1000) as desk:
        host, port = desk.origin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /river/v1/ai/async HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        writer.write(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")  # the phrase differs between Pythons
        writer.close()


async def test_a_caller_who_leaves_midway_disturbs_nobody(desk: Desk) -> None:
    host, port = desk.origin.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /river/v1/ai/async HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 50\r\n\r\n"
    writer.write(head.encode() + b'{"workflow":')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await desk.submit("plain")


async def _chunks(body: bytes, size: int) -> Any:
    for start in range(0, len(body), size):
        yield body[start : start + size]


# Places and methods -----------------------------------------------------------------------------------------


NO_CHANNELS = ["no-uuid", "123", "..", "%00", "a" * 3000, "0190a000-0000-7000-8000-00000000000g"]


async def test_a_bad_channel_id_is_404(desk: Desk) -> None:
    for channel_id in NO_CHANNELS:
        for method, path in (
            ("GET", f"/v1/ai/{channel_id}"),
            ("GET", f"/v1/ai/{channel_id}/timeline"),
            ("GET", f"/v1/ai/{channel_id}/events"),
            ("POST", f"/v1/ai/{channel_id}/cancel"),
            ("POST", f"/v1/callback/{channel_id}"),
        ):
            content = b'{"data":{}}' if method == "POST" else None
            problem(await desk.client.request(method, path, content=content), 404)
        problem(await desk.client.post("/v1/ai/reconnect", json={"channel_id": channel_id}), 400)


async def test_an_unknown_channel_is_404(desk: Desk) -> None:
    for method, path in (
        ("GET", f"/v1/ai/{NOBODY}"),
        ("GET", f"/v1/ai/{NOBODY}/timeline"),
        ("GET", f"/v1/ai/{NOBODY}/events"),
        ("POST", f"/v1/ai/{NOBODY}/cancel"),
    ):
        problem(await desk.client.request(method, path), 404)
    problem(await desk.client.post("/v1/ai/reconnect", json={"channel_id": NOBODY}), 404, "channel_not_found")
    problem(await desk.client.post(f"/v1/callback/{NOBODY}", json={"data": {}}), 404, "channel_not_found")


async def test_a_timeline_after_anything_is_a_page_or_400(desk: Desk) -> None:
    channel_id = (await desk.submit("plain"))["channel_id"]
    for after in ("9" * 18, "1000"):
        response = await desk.client.get(f"/v1/ai/{channel_id}/timeline?after={after}")
        assert response.json()["entries"] == []
    for after in ("x", "-1", "1.5", "%C2%B2", "9" * 19, "9" * 40, "9" * 5000):
        response = await desk.client.get(f"/v1/ai/{channel_id}/timeline?after={after}")
        assert problem(response, 400)["error"]["param"] == "after"


async def test_an_unknown_place_is_404_in_json(desk: Desk) -> None:
    for path in (
        "/nowhere",
        "/v1",
        "/v1/",
        "/v1/ai",
        "/v1/ai/",
        "/api",
        "/api/",
        "/v2/ai/async",
        "/consoles",
        "/%2e%2e/",
    ):
        for method in ("GET", "POST", "DELETE"):
            problem(await desk.client.request(method, path), 404, "route_not_found")


async def test_the_wrong_method_is_405_and_says_which_are_right(desk: Desk) -> None:
    for path, wrong, right in (
        ("/v1/ai/async", "GET", "POST"),
        ("/v1/ai/async", "PUT", "POST"),
        ("/api/v1/ai/async", "DELETE", "POST"),
        ("/v1/ai/reconnect", "GET", "POST"),
        (f"/v1/ai/{NOBODY}", "POST", "GET"),
        (f"/v1/ai/{NOBODY}/timeline", "POST", "GET"),
        (f"/v1/ai/{NOBODY}/cancel", "GET", "POST"),
        (f"/v1/callback/{NOBODY}", "GET", "POST"),
        ("/console/workflow", "DELETE", "GET, POST"),
        ("/console/workflow/movie", "POST", "DELETE, GET, PATCH"),
    ):
        response = await desk.client.request(wrong, path)
        problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == right


# Keys -------------------------------------------------------------------------------------------------------

KINDS = ("workflow", "webhook", "structured_output")
EVERYWHERE = [
    ("POST", "/v1/ai/async"),
    ("POST", "/v1/ai/reconnect"),
    ("GET", f"/v1/ai/{NOBODY}"),
    ("GET", f"/v1/ai/{NOBODY}/timeline"),
    ("GET", f"/v1/ai/{NOBODY}/events"),
    ("POST", f"/v1/ai/{NOBODY}/cancel"),
    ("POST", f"/v1/callback/{NOBODY}"),
    ("POST", f"/v1/callback/{NOBODY}/enrich"),
    *(
        (method, f"/console/{kind}")
        for kind in ("workflow", "webhook", "structured_output")
        for method in ("GET", "POST")
    ),
    *(
        (method, f"/console/{kind}/x")
        for kind in ("workflow", "webhook", "structured_output")
        for method in ("GET", "PATCH", "DELETE")
    ),
]


NO_KEYS = [
    (None, "missing_api_key"),
    (b"", "missing_api_key"),
    (b"Basic " + KEY.encode(), "missing_api_key"),
    (KEY.encode(), "missing_api_key"),
    (b"Bearer wrong", "invalid_api_key"),
    (b"Bearer", "invalid_api_key"),
    (b"Bearer \xff\xfe", "invalid_api_key"),
    (b"Bearer " + KEY.upper().encode(), "invalid_api_key"),
]


async def test_without_a_good_key_every_door_is_401(desk: Desk) -> None:
    async with client_of(str(desk.client.base_url), key=None) as client:
        for number, (header, code) in enumerate(NO_KEYS):
            headers = [(b"authorization", header)] if header is not None else []
            for method, path in EVERYWHERE if number == 0 else [("POST", "/v1/ai/async")]:
                response = await client.request(method, path, headers=headers, content=b"not even JSON")
                assert problem(response, 401, code)["error"]["type"] == "authentication_error"
                assert response.headers["www-authenticate"] == "Bearer"


async def test_the_scheme_of_a_key_is_written_in_any_case(desk: Desk) -> None:
    async with client_of(str(desk.client.base_url), key=None) as client:
        for scheme in ("Bearer", "bearer", "BEARER"):
            response = await client.get("/console/workflow", headers={"authorization": f"{scheme} {KEY}"})
            assert response.status_code == 200


async def test_a_riverflow_without_a_key_lets_nobody_in(seated: Sit) -> None:
    async with seated(api_key=None) as desk:
        for key in ("x", "None", KEY):
            problem(await desk.client.get("/console/workflow", headers={"authorization": f"Bearer {key}"}), 401)


async def test_no_error_repeats_a_secret(desk: Desk) -> None:
    async with client_of(str(desk.client.base_url), key="mr_live_mistyped") as client:
        response = await client.get("/console/workflow")
    assert "mr_live" not in response.text


async def test_a_closed_store_is_503_not_500(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from riverflow.builtin.sqlite.log import SqliteLog
    from riverflow.errors import StoreUnavailable

    run = await desk.submit("movie")

    async def unavailable(*args: Any, **options: Any) -> Any:
        raise StoreUnavailable("disk I/O error at /secret/place.db")

    for method in ("load", "entries_after", "append"):
        monkeypatch.setattr(SqliteLog, method, unavailable)
    for response in (
        await desk.client.get(f"/v1/ai/{run['channel_id']}"),
        await desk.client.post(f"/v1/callback/{run['channel_id']}", json={"data": {}}),
        await desk.client.post("/v1/ai/async", json={"workflow": "plain"}),
    ):
        problem(response, 503, "service_unavailable")
        assert "secret" not in response.text
    monkeypatch.undo()


async def test_what_nobody_foresaw_is_a_500_that_tells_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from riverflow.builtin.sqlite.log import SqliteLog

    async def broken(*args: Any, **options: Any) -> Any:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(SqliteLog, "load", broken)
    body = problem(await desk.client.get(f"/v1/ai/{NOBODY}"), 500, "internal_error")
    monkeypatch.undo()
    assert "secret" not in json.dumps(body)


async def test_the_wrapped_app_answers_everything_else(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.origin, trust_env=False) as client:
        assert (await client.get("/")).text == "home"
        for path in ("/riverside", "/river", "/v1/ai/async"):
            assert (await client.get(path)).text == "Not Found"
