"""Approvals as a person decides them: in the console by mouse or keyboard, and by a link without a login."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from .driver import Watch, log_in
from .scene import Scene
from .test_accessible import axe, findings

__all__ = ["axe"]

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

HIDE_AND_SHOW = """() => {
  for (const hidden of [true, false]) {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }
}"""
PHONE = {"width": 390, "height": 844}
STAGES = [
    {"name": "generate", "kind": "generate"},
    {"name": "review", "kind": "approval", "timeout": 259_200},
    {"name": "finalise", "kind": "finalise"},
]


async def hold(scene: Scene, **fields: Any) -> str:
    """The id of a new approval."""
    workflow = {"name": "reviewed", "provider": "mistral", "structured_output_id": "movie", "pipeline": STAGES}
    made = await scene.http.post("/console/workflow", json=workflow)
    assert made.status_code in (201, 409), made.text
    run = await scene.submit("reviewed", **fields)
    await scene.cast.until(lambda: scene.cast.wrote(run, "run.ai_generated"))
    return f"apr_{run.replace('-', '')}_review"


async def one(scene: Scene, approval_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await scene.http.get(f"/v1/approvals/{approval_id}")).json()
    return shown


async def link_to(scene: Scene, approval_id: str) -> str:
    made = await scene.http.post(f"/v1/approvals/{approval_id}/link", json={"name": "Anna"})
    return str(made.json()["url"])


async def test_what_waits_appears_and_goes_while_he_looks(page: Page, scene: Scene) -> None:
    await page.goto(scene.console + "approvals")
    await expect(page.get_by_text("No pending approvals")).to_be_visible()
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    tally = page.locator("#tally-approvals")
    await expect(tally).to_be_hidden()
    approval_id = await hold(scene, customer_data={"user_id": "u1"})
    row = page.locator(f'[data-key="{approval_id}"]')
    await expect(row).to_contain_text("u1")
    await expect(tally).to_have_text("1")
    await expect(page.locator("#count")).to_contain_text("1 waiting")
    await scene.http.post(f"/v1/approvals/{approval_id}", json={"decision": "approve"})
    await expect(page.get_by_text("No pending approvals")).to_be_visible()
    await expect(tally).to_be_hidden()


async def test_he_approves_by_keyboard(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    await page.goto(scene.console)
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await page.wait_for_url(scene.console + "approvals")  # and for its script: it hears no key before
    await expect(page.get_by_role("heading", level=1)).to_have_text("Approvals")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{scene.console}approvals/{approval_id}*")
    await expect(page.get_by_role("heading", name="Decide")).to_be_visible()
    await page.keyboard.press("a")
    await expect(page.get_by_role("button", name="Approve")).to_be_focused()
    assert (await one(scene, approval_id))["state"] == "pending"  # one key alone decides nothing
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="Approved by")).to_be_visible()
    assert (await one(scene, approval_id))["ruling"]["way"] == "console"


async def test_he_rejects_by_keyboard(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    await page.goto(f"{scene.console}approvals/{approval_id}")
    await page.keyboard.press("x")
    await expect(page.get_by_label("Reason for rejection")).to_be_focused()
    await page.keyboard.type("not for children")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").filter(has_text="Rejected by")).to_contain_text("not for children")
    assert (await one(scene, approval_id))["state"] == "rejected"


async def test_he_edits_and_is_told_what_is_wrong(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    await page.goto(f"{scene.console}approvals/{approval_id}")
    field = page.get_by_label("Data to approve")
    await field.fill('{"title": "Paprika", "year": "soon"}')
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#data-wrong")).to_contain_text("/year")
    await expect(field).to_have_value('{"title": "Paprika", "year": "soon"}')
    await expect(field).to_have_attribute("aria-invalid", "true")
    await field.fill('{"title": "Paprika", "year": 2006}')
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="Changes")).to_be_visible()
    await expect(page.locator(".diff ins").first).to_contain_text("Paprika")


async def test_somebody_else_is_first_while_he_looks(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    await page.goto(f"{scene.console}approvals/{approval_id}")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    await scene.http.post(f"/v1/approvals/{approval_id}", json={"decision": "reject", "reason": "mine"})
    await expect(page.locator("#ruling")).to_contain_text("Rejected by api_key")
    await expect(page.locator("#state")).to_have_text("Rejected")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await expect(page.get_by_role("button", name="Create link")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Submitted data")).to_be_visible()


async def test_what_he_types_stays_while_other_things_happen(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    await page.goto(f"{scene.console}approvals/{approval_id}")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    field, reason = page.get_by_label("Data to approve"), page.get_by_label("Reason for rejection")
    await field.fill('{"year": "soon"}')
    await page.get_by_role("button", name="Approve").click()
    await expect(page.locator("#data-wrong")).to_be_visible()
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    await reason.focus()
    async with page.expect_response(lambda answer: "x-riverflow-live" in answer.request.headers):
        await page.evaluate(HIDE_AND_SHOW)
    await expect(field).to_have_value('{"year": "soon"}')
    await expect(page.locator("#data-wrong")).to_be_visible()


async def test_a_page_with_a_fresh_link_is_live(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    await page.goto(f"{scene.console}approvals/{approval_id}")
    await page.get_by_role("button", name="Create link").click()
    await expect(page.locator("#link")).to_contain_text("/approve/rap_")
    assert page.url.endswith("/link")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    await scene.http.post(f"/v1/approvals/{approval_id}", json={"decision": "approve"})
    await expect(page.locator("#state")).to_have_text("Approved")
    await expect(page.locator("#ruling")).to_contain_text("Approved by api_key")
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    await page.goto(page.url)
    assert page.url.endswith(f"/approvals/{approval_id}")
    await expect(page.locator("#state")).to_have_text("Approved")


async def test_from_the_request_to_its_decision(page: Page, scene: Scene) -> None:
    approval_id = await hold(scene)
    run = (await one(scene, approval_id))["channel_id"]
    await page.goto(f"{scene.console}requests/{run}")
    await expect(page.locator("#why")).to_contain_text("Awaiting approval in review")
    await page.get_by_role("link", name="Review approval").click()
    await page.get_by_role("button", name="Approve").click()
    await page.goto(f"{scene.console}requests/{run}")
    await expect(page.locator("#story")).to_contain_text("review was approved by api_key")


@pytest.mark.parametrize("script", [True, False])
async def test_a_link_on_a_phone_without_a_login(browser: Browser, scene: Scene, script: bool) -> None:
    approval_id = await hold(scene)
    url = await link_to(scene, approval_id)
    context = await browser.new_context(viewport=PHONE, is_mobile=True, java_script_enabled=script)
    watch = Watch(context, scene.url)
    page = await context.new_page()
    await page.goto(url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("reviewed: review")
    await page.get_by_label("Data to approve").fill('{"title": "Paprika", "year": 2006}')
    await page.get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    assert (await one(scene, approval_id))["ruling"]["by"] == "Anna"
    await page.goto(url)
    await expect(page.get_by_text("This link is used up")).to_be_visible()
    assert await context.cookies() == []
    assert (watch.errors, watch.elsewhere) == ([], [])
    await context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_everybody_can_decide(browser: Browser, scene: Scene, axe: str, theme: Any) -> None:
    context = await browser.new_context(color_scheme=theme, reduced_motion="reduce")
    page = await context.new_page()
    await log_in(page, scene)
    found = {}
    await page.goto(scene.console + "approvals")
    found["empty"] = await findings(page, axe)
    approved, waiting = await hold(scene, customer_data={"user_id": "u1"}), await hold(scene)
    edited = {"title": "Paprika", "year": 2006}
    await scene.http.post(f"/v1/approvals/{approved}", json={"decision": "approve", "data": edited})
    url = await link_to(scene, waiting)
    for path in ("approvals", f"approvals/{approved}", f"approvals/{waiting}"):
        await page.goto(scene.console + path)
        found[path] = await findings(page, axe)
    await page.get_by_label("Data to approve").fill("{}")
    await page.get_by_role("button", name="Approve").click()
    found["wrong"] = await findings(page, axe)
    await page.goto(url)
    found["link"] = await findings(page, axe)
    await page.goto(url + "x")
    found["no link"] = await findings(page, axe)
    await context.close()
    assert {path: each for path, each in found.items() if each} == {}
