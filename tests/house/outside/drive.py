"""Runs one flow in which every hook of the plugin has its part, and prints what happened as JSON.

The plugin is not imported here but found by its entry point; the path of the database is the only argument.
"""

from __future__ import annotations

import asyncio
import json
import sys

import riverflow_outside  # the same module that the entry point names: to read its notes

from riverflow import Endpoint, Riverflow, Stage, Workflow
from riverflow.asgi_client import request

PIPELINE = (
    Stage(name="generate", kind="generate"),
    Stage(name="stamp", kind="stamp"),
    Stage(name="finalise", kind="finalise"),
)


async def main(path: str) -> None:
    river = Riverflow(
        config=f"{path}.toml",
        database_url=f"walled:///{path}",
        env="development",
        notifier="nobody",
        workflows=[Workflow(name="say", provider="parrot", pipeline=PIPELINE)],
        endpoints=[Endpoint(url="pigeon:loft", secret="whsec_pigeon", signers=("shout",))],
    )
    async with river.lifespan():
        run = await river.submit(workflow="say", messages=[{"role": "user", "content": "hello"}])
        visitor = {"x-visitor": river.project_id}
        async with request(river, "GET", f"/poll/{run.channel_id}", headers=visitor) as response:
            polled = json.loads(await response.read())
        async with request(river, "GET", "/hello") as response:
            hello = (await response.read()).decode()
        async with request(river, "GET", f"/v1/ai/{run.channel_id}", headers=visitor) as response:
            state = json.loads(await response.read())
        async with asyncio.timeout(10):
            await riverflow_outside.delivered.wait()
    print(json.dumps({"polled": polled, "hello": hello, "state": state["status"], "told": riverflow_outside.told}))


asyncio.run(main(sys.argv[1]))
