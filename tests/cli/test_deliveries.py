"""`riverflow deliveries` and `riverflow replay`, on a store that no server has open, and beside one that has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from riverflow import Endpoint, Riverflow, Workflow

from .commands import run

pytestmark = pytest.mark.anyio

SECRET = "whsec_ZGVza2Rlc2tkZXNrZGVza2Rlc2tkZXNrZGVza2Rlc2s="
URL = "asgi:///hook"  # and there is no app: nothing is ever sent
LAPTOP = "http://127.0.0.1:8099/laptop"
ENVIRON = {"RIVERFLOW_ENV": "development", "RIVERFLOW_DATABASE_URL": "sqlite:///river.db"}


@pytest.fixture
async def dead(tmp_path: Path) -> list[str]:
    """Two runs that are over, each with a delivery that was given up: the ids of those, oldest first."""
    river = Riverflow(
        database_url=f"sqlite:///{tmp_path}/river.db",
        env="development",
        workflows=[Workflow(name="plain", provider="echo", template="hello")],
        endpoints=[Endpoint(id="ep_1", url=URL, secret=SECRET, retry="0")],
        environ={},
        discover_plugins=False,
    )
    async with river.lifespan():
        runs = [await river.submit(workflow="plain") for _ in range(2)]
        for each in runs:
            await each.result()
    return [f"msg_{each.channel_id.replace('-', '')}_1_0" for each in runs]


def said(folder: Path, *arguments: str) -> Any:
    done = run(folder, *arguments, "--json", **ENVIRON)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_they_are_listed(tmp_path: Path, dead: list[str]) -> None:
    listed = said(tmp_path, "deliveries")
    assert {each["id"] for each in listed["data"]} == set(dead)
    assert {each["status"] for each in listed["data"]} == {"dead"}
    text = run(tmp_path, "deliveries", "--status", "dead", "--limit", "1", **ENVIRON).stdout
    assert text.count("\n") == 1
    assert "task.completed" in text
    assert URL in text
    assert said(tmp_path, "deliveries", "--status", "pending", "--status", "delivered")["data"] == []
    assert said(tmp_path, "deliveries", "--until", "2020-01-01")["data"] == []


async def test_one_is_shown(tmp_path: Path, dead: list[str]) -> None:
    shown = said(tmp_path, "deliveries", dead[0])
    assert shown["body"]["type"] == "task.completed"
    assert [each["kind"] for each in shown["entries"]] == ["delivery.attempted", "delivery.exhausted"]
    assert '"type": "task.completed"' in run(tmp_path, "deliveries", dead[0], **ENVIRON).stdout


async def test_one_is_sent_again(tmp_path: Path, dead: list[str]) -> None:
    """Its endpoint is declared in an app that this command does not know: then it needs a URL."""
    refused = run(tmp_path, "replay", dead[0], **ENVIRON)
    assert refused.returncode == 1
    assert "give another url" in refused.stderr
    done = run(tmp_path, "replay", dead[0], "--to", LAPTOP, **ENVIRON)
    assert (done.returncode, done.stdout) == (0, f"{dead[0]}\n"), done.stderr
    (pending,) = said(tmp_path, "deliveries", "--status", "pending")["data"]
    assert (pending["id"], pending["url"], pending["attempt"]) == (dead[0], LAPTOP, 1)
    again = run(tmp_path, "replay", dead[0], "--to", LAPTOP, **ENVIRON)
    assert again.returncode == 1
    assert "still being tried" in again.stderr


async def test_what_the_filters_take_is_sent_again(tmp_path: Path, dead: list[str]) -> None:
    done = said(tmp_path, "replay", "--all", "--endpoint", "ep_1", "--to", LAPTOP)
    assert done == {"replayed": dead, "skipped": {}, "has_more": False}
    assert said(tmp_path, "replay", "--all", "--to", LAPTOP)["replayed"] == []


async def test_what_cannot_be_sent_is_said(tmp_path: Path, dead: list[str]) -> None:
    done = run(tmp_path, "replay", "--all", **ENVIRON)
    assert done.returncode == 1
    assert f"{dead[0]}: not sent: its endpoint ep_1 was deleted; give another url" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("replay",), 2, "name a delivery, or give --all"),
        (("replay", "msg_1", "--all"), 2, "not both"),
        (("replay", "msg_none"), 1, "no delivery 'msg_none'"),
        (("deliveries", "msg_none"), 1, "no delivery 'msg_none'"),
        (("deliveries", "--run", "x"), 1, "not a channel id"),
        (("deliveries", "--status", "lost"), 2, "lost"),
        (("replay", "msg_1", "--to", "http://169.254.169.254/"), 1, "refused by the egress policy"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    done = run(tmp_path, *arguments, **ENVIRON)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
