"""Which targets the API takes, that a delivery starts no run, and an endpoint with an authority of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from riverflow import Endpoint, hookimpl
from riverflow.models import Entry
from riverflow.testing.suites.certificates import Authority
from riverflow.testing.suites.receiver import receiving

from .desk import PLAIN, Desk, Sit, problem

pytestmark = pytest.mark.anyio

SECRET = "whsec_ZWdyZXNzZWdyZXNzZWdyZXNzZWdyZXNzZWdyZXNzZWc="
PRODUCTION: dict[str, Any] = {"env": "production", "public_url": "https://api.example.com/river", "secret_key": None}


@pytest.mark.parametrize("hops", ["1", "2", "x", ""])
async def test_a_delivery_starts_no_run(desk: Desk, hops: str) -> None:
    """Sender case 6."""
    headers = {"riverflow-hops": hops}
    refused = await desk.client.post("/v1/ai/async", json={"workflow": "plain"}, headers=headers)
    problem(refused, 400, "loop_detected")
    headers = {"riverflow-hops": "0"}
    assert (await desk.client.post("/v1/ai/async", json={"workflow": "plain"}, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal/",
        "http://user:pass@example.com/",
        "http://2130706433/",
        "http://example.com:6379/",
        "http://example.com/a/../b",
        "gopher://example.com/",
    ],
)
async def test_a_target_that_is_never_called_is_refused_at_every_door(desk: Desk, url: str) -> None:
    """Sender cases 5, 8, 11, 12, 13 and 14: when a run is submitted and when an endpoint is registered or moved."""
    problem(await desk.client.post("/v1/ai/async", json={"workflow": "plain", "webhook_url": url}), 422, "invalid_url")
    problem(await desk.client.post("/console/webhook", json={"url": url}), 422, "invalid_url")
    made = (await desk.client.post("/console/webhook", json={"url": "http://127.0.0.1:9000/hook"})).json()
    problem(await desk.client.patch(f"/console/webhook/{made['id']}", json={"url": url}), 422, "invalid_url")


async def test_production_takes_public_https_targets_and_what_is_opened(seated: Sit) -> None:
    """Sender cases 10, 11, 13 and 36."""
    opened = {"egress_allow": (".corp.internal", "10.0.0.0/8@p1"), "egress_ports": (8443,)}
    async with seated(**PRODUCTION, **opened) as desk:
        for url in ("https://93.184.216.34:8443/", "https://hook.corp.internal/", "https://10.1.2.3/"):
            taken = await desk.client.post("/v1/ai/async", json={"workflow": "plain", "webhook_url": url})
            assert taken.status_code == 200, taken.text
        for url in ("https://127.0.0.1/", "https://db.local:9/", "https://example.com:9443/", "https://192.168.1.1/"):
            problem(await desk.client.post("/v1/ai/async", json={"workflow": "plain", "webhook_url": url}), 422)
        for url in ("https://api.example.com/river/v1/ai/async", "https://API.example.com/river/api/ai/async"):
            problem(await desk.client.post("/v1/ai/async", json={"workflow": "plain", "webhook_url": url}), 422)


class Watch:
    """Waits for the one attempt of a delivery."""

    def __init__(self) -> None:
        self.settled = asyncio.Event()

    @hookimpl
    def riverflow_entry(self, run_id: str, entry: Entry) -> None:
        if entry.kind == "delivery.attempted":
            self.settled.set()


@pytest.mark.parametrize("trusted", [True, False])
async def test_an_endpoint_may_have_an_authority_of_its_own(seated: Sit, tmp_path: Path, trusted: bool) -> None:
    """Sender case 22: it is trusted for that endpoint; nobody else's certificate is believed because of it."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority, watch = Authority(folder), Watch()
    async with receiving(authority.server("127.0.0.1")) as receiver:
        mine = {"url": receiver.url(scheme="https"), "authorities": authority.pem.decode() if trusted else None}
        endpoints = [
            Endpoint(secret=SECRET, events=("*",), **mine),
            Endpoint(
                secret=SECRET, events=("never",), url="https://127.0.0.1:9443/", authorities=authority.pem.decode()
            ),
        ]
        async with seated(workflows=[PLAIN], endpoints=endpoints, plugins=[watch]) as desk:
            accepted = await desk.submit("plain")
            await asyncio.wait_for(watch.settled.wait(), 10)
            entries = await desk.entries(accepted["channel_id"])
            (attempt,) = [entry["data"] for entry in entries if entry["kind"] == "delivery.attempted"]
    assert (attempt["outcome"], attempt.get("error")) == (("delivered", None) if trusted else ("retrying", "tls_error"))
    assert len(receiver.received) == trusted


async def test_an_authority_is_shown_and_must_be_one(desk: Desk, tmp_path: Path) -> None:
    """Sender case 22."""
    pem = Authority(tmp_path).pem.decode()
    asked = {"url": "https://127.0.0.1:9443/hook", "authorities": pem}
    made = await desk.client.post("/console/webhook", json=asked)
    assert (made.status_code, made.json()["authorities"]) == (201, pem)
    for wrong in ("no PEM", pem.replace("M", "N"), ""):
        refused = await desk.client.post("/console/webhook", json=asked | {"authorities": wrong})
        problem(refused, 422, "invalid_certificate")
