"""What the README shows works as it stands."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from riverflow.testing import serve

pytestmark = pytest.mark.anyio

README = (Path(__file__).parents[2] / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
RUNNABLE = re.findall(r"^<!-- runnable -->\n```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_python_block_is_python() -> None:
    assert PYTHON
    for block in PYTHON:
        compile(block, "README.md", "exec")


async def test_the_first_example_answers_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = RUNNABLE
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("RIVERFLOW_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(compile(example, "README.md", "exec"), namespace)
    async with serve(namespace["app"], lifespan="on") as origin, httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(f"{origin}/suggest?wish=a+heist+in+dreams&user_id=u1")
    message = response.json()
    assert message["status"] == "completed"
    assert message["data"] == {"title": "Inception", "year": 2010, "id": "mov_123", "for": "u1"}
    assert message["ai_response"]["data"] == {"title": "Inception", "year": 2010}
    assert message["customer_data"] == {"user_id": "u1"}
    assert (tmp_path / "riverflow.db").exists()


async def test_two_riverflows_in_one_process_do_not_meet(tmp_path: Path) -> None:
    from riverflow import Riverflow, Workflow

    def build(name: str) -> Riverflow:
        river = Riverflow(
            database_url=f"sqlite:///{tmp_path}/{name}.db",
            environ={},
            discover_plugins=False,
            workflows=[Workflow(name=name, provider="echo", template=name, event_name="same")],
        )

        @river.on("same")
        async def same(event: Any) -> dict[str, str]:
            return {"by": name}

        return river

    one, two = build("one"), build("two")
    async with one.lifespan(), two.lifespan():
        runs = [await one.submit(workflow="one"), await two.submit(workflow="two")]
        assert [(await run.result())["data"] for run in runs] == [{"by": "one"}, {"by": "two"}]
        assert one.project_id != two.project_id
        with pytest.raises(Exception, match="does not exist"):
            await one.submit(workflow="two")
    async with two.lifespan():  # one has stopped, and stays so
        assert (await (await two.submit(workflow="two")).result())["status"] == "completed"
        with pytest.raises(Exception, match="not started"):
            await one.submit(workflow="one")
