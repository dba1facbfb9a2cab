"""axe-core finds nothing serious on any page, light or dark (WCAG 2.2 A and AA)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from .driver import log_in
from .scene import Scene

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.is_file():
        reason = "needs axe-core (npm ci in tests/node)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return AXE.read_text(encoding="utf-8")


async def findings(page: Page, axe: str) -> list[str]:
    """What axe finds serious or critical, each with the place."""
    await page.evaluate(axe)
    found: dict[str, Any] = await page.evaluate(
        "rules => axe.run(document, { runOnly: rules, resultTypes: ['violations'] })", RULES
    )
    return [
        f"{violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical", "moderate")
        for node in violation["nodes"]
    ]


async def paths_of(scene: Scene) -> list[str]:
    """Every page, with something on it."""
    scene.backend.down = True
    runs = [
        await scene.submit("movie_suggestion", act="fall back", customer_data={"user_id": "u1"}),
        await scene.submit("support_reply", act="refuse"),
    ]
    for run in runs:
        await scene.ended(run)
    runs.append(await scene.submit("movie_suggestion", customer_data={"mood": "silent"}))
    await scene.told(runs[-1])
    runs.append(await scene.submit("support_reply", act="hold"))
    endpoint = (await scene.http.get("/console/webhook")).json()["data"][0]["id"]
    letters = [each["id"] for each in (await scene.http.get("/v1/deliveries")).json()["data"][:2]]
    key = (await scene.http.post("/console/key", json={"name": "one", "scopes": ["read"]})).json()["id"]
    return [
        "", "requests", "requests?status=error", *(f"requests/{run}" for run in runs), f"requests/{runs[-1]}/cancel",
        "requests?q=zzz", "dead-letters", *(f"dead-letters/{each}" for each in letters),
        "playground", f"playground?run={runs[0]}", f"playground?run={runs[2]}",
        "workflows", "workflows/new", "workflows/movie_suggestion", "structured-outputs",
        "structured-outputs/new", "webhooks", "webhooks/new", f"webhooks/{endpoint}", "keys", "keys/new",
        f"keys/{key}", f"keys/{key}/revoke", "settings", "no-such-page",
    ]  # fmt: skip


async def answers_to_forms(page: Page, scene: Scene, axe: str) -> dict[str, list[str]]:
    """Pages that only a form leads to: what is shown once, what asks again, what was done."""
    found = {}
    stages = [{"name": name, "kind": kind} for name, kind in (("a", "generate"), ("b", "approval"), ("c", "finalise"))]
    workflow = {"name": "held", "provider": "mistral", "pipeline": stages}
    hook = {"url": f"{scene.backend_url}/analytics?once", "events": ["task.completed"], "retry": {"delays": [0]}}
    assert (await scene.http.post("/console/workflow", json=workflow)).status_code == 201
    made = await scene.http.post("/console/webhook", json=hook)
    assert made.status_code == 201, made.text
    held, dead = await scene.submit("held"), await scene.submit("support_reply")
    await scene.cast.until(lambda: scene.cast.wrote(held, "run.ai_generated"))
    await scene.cast.until(lambda: scene.cast.wrote(dead, "delivery.exhausted"))

    async def pressed(path: str, button: str, wanted: str) -> None:
        await page.goto(scene.console + path)
        await page.get_by_role("button", name=button, exact=True).click()
        await expect(page.locator(wanted)).to_be_visible()
        found[f"{path}: {button}"] = await findings(page, axe)

    page.on("dialog", lambda dialog: dialog.accept())
    await pressed(f"approvals/apr_{held.replace('-', '')}_b", "Create link", "#link")
    await pressed(f"webhooks/{made.json()['id']}/rotate", "Rotate secret", ".secret")
    for path in ("workflows/held/delete", f"webhooks/{made.json()['id']}/delete"):
        await page.goto(scene.console + path)
        found[path] = await findings(page, axe)
    await pressed("dead-letters", "Replay all matching", ".confirm")
    await page.get_by_role("button", name="Replay all").click()
    await expect(page.locator("#said")).to_be_visible()
    found["sent again"] = await findings(page, axe)
    await page.goto(scene.console + "keys/new")
    await page.get_by_label("Name").fill("two")
    await page.get_by_role("button", name="Create key").click()
    await expect(page.locator(".secret")).to_be_visible()
    found["new key"] = await findings(page, axe)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_can_be_used_by_everybody(browser: Browser, scene: Scene, axe: str, theme: Any) -> None:
    context = await browser.new_context(color_scheme=theme, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(scene.console + "login")
    found = {"login": await findings(page, axe)}
    await log_in(page, scene)
    for path in await paths_of(scene):
        await page.goto(scene.console + path)
        found[path] = await findings(page, axe)
    found |= await answers_to_forms(page, scene, axe)
    await page.goto(scene.console)
    await page.keyboard.press("?")
    found["keyboard"] = await findings(page, axe)
    await context.close()
    assert {path: each for path, each in found.items() if each} == {}


async def test_a_phone_is_no_exception(browser: Browser, scene: Scene, axe: str) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page = await context.new_page()
    await log_in(page, scene)
    paths = await paths_of(scene)
    found = {}
    for path in (paths[0], paths[1], paths[3], "workflows/new", "webhooks", "playground"):
        await page.goto(scene.console + path)
        found[path] = await findings(page, axe)
    await page.goto(scene.console + "workflows#menu")
    found["menu"] = await findings(page, axe)
    await context.close()
    assert {path: each for path, each in found.items() if each} == {}
