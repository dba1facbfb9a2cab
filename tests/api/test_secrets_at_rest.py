"""What lies in the database: nothing that is secret, where there is a key to seal it with, and nothing where there is
none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow import Endpoint, Riverflow
from riverflow.errors import ConfigError

from .desk import Desk, Sit, client_of, problem

pytestmark = pytest.mark.anyio

OLD = "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb28="
NEW = "bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU="
PROVIDER_KEY = "sk-canary-at-rest"
PRODUCTION: dict[str, Any] = {"env": "production", "public_url": "https://example.com/river"}
HOOK = {"url": "https://backend.example.com/hook"}
ACCOUNT = {"provider": "openai", "api_key": PROVIDER_KEY}


async def store_all(desk: Desk) -> list[str]:
    """One of each secret that is stored: what must not be found again."""
    posts = [
        await desk.client.post("/console/webhook", json=HOOK),
        await desk.client.post("/console/project", json={"name": "blue"}),
        await desk.client.post("/console/project/default/rotate"),
        await desk.client.post("/console/key", json={"name": "mine"}),
    ]
    assert [answer.status_code for answer in posts] == [201, 201, 200, 201]
    made = [answer.json() for answer in posts]
    posts = [await desk.client.post(f"/console/webhook/{made[0]['id']}/rotate") for _ in range(2)]
    assert (await desk.client.post("/console/credential", json=ACCOUNT)).status_code == 201
    shown = [answer["secret"] for answer in (*made[:3], *(post.json() for post in posts))]
    return [*shown, made[3]["key"], PROVIDER_KEY]


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_with_a_key_nothing_secret_is_in_the_files(seated: Sit, tmp_path: Path) -> None:
    async with seated(secret_key=OLD, **PRODUCTION) as desk:
        secrets = await store_all(desk)
        assert [secret for secret in secrets if secret.encode() in bytes_of(tmp_path)] == []
    assert [secret for secret in secrets if secret.encode() in bytes_of(tmp_path)] == []
    async with seated(secret_key=f"{NEW},{OLD}", **PRODUCTION) as desk:
        [account] = (await desk.client.get("/console/credential")).json()["data"]
        assert account["api_key"] == f"…{PROVIDER_KEY[-4:]}"
        assert len((await desk.client.get("/console/webhook")).json()["data"][0]["retired"]) == 2


async def test_without_a_key_production_stores_no_secret_and_says_the_cure(seated: Sit) -> None:
    async with seated(**PRODUCTION) as desk:
        for path, body in (
            ("/console/webhook", HOOK),
            ("/console/credential", ACCOUNT),
            ("/console/project", {"name": "blue"}),
            ("/console/project/default/rotate", {}),
        ):
            refused = await desk.client.post(path, json=body)
            assert "riverflow secrets new-key" in problem(refused, 422, "secret_key_required")["message"]
            assert PROVIDER_KEY not in refused.text
        for kind in ("webhook", "credential"):
            assert (await desk.client.get(f"/console/{kind}")).json()["data"] == []
        assert len((await desk.client.get("/console/project")).json()["data"]) == 1
        # What holds no secret is stored as ever.
        assert (await desk.client.post("/console/key", json={"name": "mine"})).status_code == 201
        body = {"name": "w", "provider": "echo", "template": "hello"}
        assert (await desk.client.post("/console/workflow", json=body)).status_code == 201


async def test_what_is_in_code_needs_no_key(seated: Sit) -> None:
    endpoint = Endpoint(url="https://backend.example.com/hook", secret="whsec_Y29kZQ==")
    async with seated(endpoints=[endpoint], **PRODUCTION) as desk:
        assert len((await desk.client.get("/console/webhook")).json()["data"]) == 1


async def test_without_a_key_a_socket_token_holds_in_every_process_and_after_a_restart(seated: Sit) -> None:
    async with seated(**PRODUCTION) as desk, seated(**PRODUCTION) as other:
        run = await desk.submit("plain")
        await (await desk.river.run(run["channel_id"])).result()
        await follow(other, run)
    async with seated(**PRODUCTION) as desk:
        await follow(desk, run)


async def follow(desk: Desk, run: dict[str, Any]) -> None:
    """A browser with the run's token gets its result."""
    async with client_of(str(desk.client.base_url), None) as browser:
        answer = await browser.get(f"/v1/ai/{run['channel_id']}/events", params={"token": run["ws_token"]})
        assert answer.status_code == 200
        assert '"success"' in answer.text


async def test_it_does_not_start_without_the_key_that_sealed(seated: Sit, tmp_path: Path) -> None:
    async with seated(secret_key=OLD, **PRODUCTION) as desk:
        await store_all(desk)
    for settings in ({}, {"secret_key": NEW}, {"env": "development"}):
        river = Riverflow(
            database_url=f"sqlite:///{tmp_path}/desk.db", environ={}, discover_plugins=False, **(PRODUCTION | settings)
        )
        with pytest.raises(ConfigError, match="RIVERFLOW_SECRET_KEY"):
            async with river.lifespan():
                pass


@pytest.mark.parametrize("key", ["no key", OLD[:-2]])
async def test_a_key_that_is_none_is_refused_at_the_start_and_not_quoted(tmp_path: Path, key: str) -> None:
    river = Riverflow(database_url=f"sqlite:///{tmp_path}/desk.db", environ={}, discover_plugins=False, secret_key=key)
    with pytest.raises(ConfigError, match="not the base64 text of 32 bytes") as refused:
        async with river.lifespan():
            pass
    assert key not in str(refused.value)
    assert not list(tmp_path.iterdir()), "it is looked at before the database is made"  # noqa: ASYNC240
