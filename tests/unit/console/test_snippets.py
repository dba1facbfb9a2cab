"""Snippets do what they say, whatever is in the request."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest

from riverflow.console._snippets import KEY, snippets

URL = "https://api.example.com/river"
REQUESTS: list[dict[str, Any]] = [
    {"workflow": "movie", "messages": [{"role": "user", "content": "a film"}]},
    {"workflow": 'it\'s "quoted" $HOME `id` \\ \u2028', "n": None, "yes": True, "deep": {"a": [1, 2.5, {"b": []}]}},
    {"workflow": "long", "text": "word " * 60 + "\n'''", "more": {f"key {n}": n for n in range(12)}},
    {},
]


def of(name: str, request: dict[str, Any]) -> str:
    return next(each.text for each in snippets(URL, request) if each.id == name)


@pytest.mark.parametrize("request_", REQUESTS)
def test_curl_sends_the_request(request_: dict[str, Any]) -> None:
    words = shlex.split(of("curl", request_).replace("\\\n", ""))
    assert words[:4] == ["curl", "-X", "POST", f"{URL}/v1/ai/async"]
    assert f"Authorization: Bearer ${KEY}" in words
    assert json.loads(words[words.index("-d") + 1]) == request_


@pytest.mark.parametrize("request_", REQUESTS)
def test_python_sends_the_request(request_: dict[str, Any]) -> None:
    call = next(
        node
        for node in ast.walk(ast.parse(of("python", request_)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "httpx.post"
    )
    assert ast.literal_eval(call.args[0]) == f"{URL}/v1/ai/async"
    said = next(keyword.value for keyword in call.keywords if keyword.arg == "json")
    assert ast.literal_eval(said) == request_


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
@pytest.mark.parametrize("request_", REQUESTS)
def test_javascript_sends_the_request(request_: dict[str, Any]) -> None:
    stub = (
        "globalThis.fetch = async (url, sent) => {"
        " console.log(JSON.stringify([url, sent.method, sent.headers.Authorization, sent.body]));"
        " return { ok: true, json: async () => ({}) }; };\n"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", stub + of("javascript", request_)],
        capture_output=True, text=True, check=True, timeout=30, env={**os.environ, KEY: "mr_live_k"},
    )  # fmt: skip
    url, method, authorization, body = json.loads(done.stdout.partition("\n")[0])
    assert (url, method, authorization) == (f"{URL}/v1/ai/async", "POST", "Bearer mr_live_k")
    assert json.loads(body) == request_


def test_no_key_stands_in_them() -> None:
    for each in snippets(URL, REQUESTS[0]):
        assert not re.search(r"mr_live", each.text)
        assert KEY in each.text
