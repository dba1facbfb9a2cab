"""Case 10 of the receiver's list: every documented receiver takes what is signed and refuses what is forged."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow.webhooks import WebhookVerificationError

from .receiver_apps import PATH, _django
from .receiver_sender import BODY, SECRET, mr, standard

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/receivers.md").read_text()
README = (ROOT / "README.md").read_text()
SAMPLES = dict(re.findall(r"^<!-- sample: (\w+) -->\n```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL))


def run(name: str, **given: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "sample", **given}
    exec(compile(SAMPLES[name], f"docs/receivers.md:{name}", "exec", dont_inherit=True), namespace)
    return namespace


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)


def test_every_sample_is_run_here() -> None:
    assert set(SAMPLES) == {"fastapi", "starlette", "flask", "django", "plain"}
    for block in re.findall(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL):
        compile(block, "docs/receivers.md", "exec")


FORGERIES: list[Callable[[], dict[str, str]]] = [
    dict,
    lambda: standard(at=int(time.time()), key=b"k" * 32),
    lambda: standard(at=int(time.time()) - 400),
    lambda: mr(secret="another secret"),
    lambda: {"mr-signature": ""},
    lambda: {"webhook-signature": "v1,"},
]


def good() -> dict[str, str]:
    return standard(at=int(time.time()))


@pytest.mark.parametrize("name", ["fastapi", "starlette"])
async def test_case_10_asgi_samples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    transport = httpx.ASGITransport(run(name)["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
        for forge in FORGERIES:
            assert (await client.post(PATH, content=BODY, headers=forge())).status_code == 401
        assert capsys.readouterr().out == ""
        assert (await client.post(PATH, content=BODY, headers=good())).json() == {"received": True}
    assert "task.ai_generated" in capsys.readouterr().out


def test_case_10_the_flask_sample(capsys: pytest.CaptureFixture[str]) -> None:
    client = run("flask")["app"].test_client()
    for forge in FORGERIES:
        assert client.post(PATH, data=BODY, headers=forge()).status_code == 401
    assert capsys.readouterr().out == ""
    assert client.post(PATH, data=BODY, headers=good()).json == {"received": True}
    assert "task.ai_generated" in capsys.readouterr().out


def test_case_10_the_django_sample(capsys: pytest.CaptureFixture[str]) -> None:
    from django.test import RequestFactory

    view = run("django")["webhook"]
    _django(view)

    def post(headers: dict[str, str]) -> Any:
        return view(RequestFactory().post(PATH, data=BODY, content_type="application/json", headers=headers))

    for forge in FORGERIES:
        assert post(forge()).status_code == 401
    assert capsys.readouterr().out == ""
    assert json.loads(post(good()).content) == {"received": True}
    assert "task.ai_generated" in capsys.readouterr().out


def test_case_10_the_plain_sample(capsys: pytest.CaptureFixture[str]) -> None:
    for forge in FORGERIES:
        with pytest.raises(WebhookVerificationError):
            run("plain", body=BODY, headers=forge(), secret=SECRET)
    assert capsys.readouterr().out == ""
    run("plain", body=BODY, headers=good(), secret=SECRET)
    assert "task.ai_generated" in capsys.readouterr().out


class Aborted(Exception):
    """What `abort` of the sample comes to."""


def test_case_10_the_readmes_python_receiver() -> None:
    [block] = [
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        if "hmac.new(secret.encode()" in block
    ]

    class Request:
        def __init__(self, headers: dict[str, str]) -> None:
            self.headers = headers

        def get_data(self) -> bytes:
            return BODY

    def abort(status: int) -> None:
        raise Aborted(status)

    def receive(headers: dict[str, str]) -> None:
        namespace = {"hmac": hmac, "hashlib": hashlib, "secret": SECRET, "abort": abort, "request": Request(headers)}
        exec(block, namespace)

    receive(mr())
    for headers in ({}, {"mr-signature": ""}, {"mr-signature": "café"}, mr(secret="another secret"), mr(b"other")):
        with pytest.raises(Aborted, match="401"):
            receive(headers)


NODE = """
const crypto = require('crypto');
const {{ secret, cases }} = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const apiKey = 'key';
let route;
const express = {{ json: () => null }};
const app = {{ post: (path, parser, handler) => {{ route = handler; }} }};
globalThis.fetch = async () => {{}};
{block}
(async () => {{
  const answers = [];
  for (const {{ body, headers }} of cases) {{
    const res = {{ sendStatus: (status) => answers.push(status), json: () => answers.push(200) }};
    await route({{ body: JSON.parse(body), headers }}, res);
  }}
  console.log(JSON.stringify(answers));
}})();
"""


def test_case_10_the_readmes_node_receiver() -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    [block] = [
        block
        for block in re.findall(r"^```javascript\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        if "timingSafeEqual" in block
    ]
    headers = [mr(), {}, {"mr-signature": ""}, {"mr-signature": "café"}, mr(secret="another secret"), mr(b"other")]
    cases = [{"body": BODY.decode(), "headers": each} for each in headers]
    done = subprocess.run(
        ["node", "-e", NODE.format(block=block)],
        input=json.dumps({"secret": SECRET, "cases": cases}).encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [200, 401, 401, 401, 401, 401]
