"""Dead letters as somebody on call works them off."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from .scene import Scene

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


async def bury(scene: Scene, number: int) -> list[str]:
    """Requests whose webhook to Analytics was given up, newest first."""
    scene.backend.down = True
    endpoint = next(
        each for each in (await scene.http.get("/console/webhook")).json()["data"] if each["description"] == "Once"
    )
    assert endpoint["enabled"]
    runs = [await scene.submit("support_reply") for _ in range(number)]
    for run in runs:
        await scene.cast.until(lambda run=run: scene.cast.wrote(run, "delivery.exhausted"), f"the end of {run}")
    return runs[::-1]


@pytest.fixture
async def once(scene: Scene) -> None:
    """An endpoint that is told once, and no second time."""
    body = {
        "url": f"{scene.backend_url}/analytics?once",
        "description": "Once",
        "events": ["task.completed"],
        "retry": {"delays": [0]},
    }
    assert (await scene.http.post("/console/webhook", json=body)).status_code == 201


@pytest.mark.usefixtures("once")
async def test_he_finds_out_why_and_sends_one_again(page: Page, scene: Scene) -> None:
    await bury(scene, 1)
    await page.goto(scene.console)
    await page.keyboard.press("g")
    await page.keyboard.press("d")
    await page.wait_for_url(scene.console + "dead-letters")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr")).to_contain_text("HTTP 503")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator("#attempts")).to_contain_text(scene.backend.page)
    await expect(page.locator("#body")).to_contain_text("task.completed")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    scene.backend.down = False
    await page.get_by_role("button", name="Replay").click()
    await expect(page.locator("h1 + .pill")).to_have_text("Delivered")
    await expect(page.locator("#attempts")).to_contain_text("Replayed")
    await expect(page.locator("#attempts summary").first).to_contain_text("HTTP 200")
    await page.goto(scene.console + "dead-letters")
    await expect(page.get_by_text("No dead letters")).to_be_visible()


@pytest.mark.usefixtures("once")
async def test_he_sends_some_and_then_all_again(page: Page, scene: Scene) -> None:
    await bury(scene, 4)
    await page.goto(scene.console + "dead-letters?since=24h")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(4)
    await page.get_by_role("button", name="Replay selected").click()
    await expect(page.get_by_role("alert")).to_contain_text("Select at least one dead letter")
    await page.get_by_label("Select all on this page").check()
    await expect(page.get_by_role("checkbox", checked=True)).to_have_count(5)
    await page.get_by_label("Select all on this page").uncheck()
    await rows.nth(0).get_by_role("checkbox").check()
    await rows.nth(1).get_by_role("checkbox").check()
    scene.backend.down = False
    await page.get_by_role("button", name="Replay selected").click()
    await expect(page.locator("#said")).to_contain_text("2 queued for replay.")
    await expect(rows).to_have_count(2)
    await page.get_by_role("button", name="Replay all matching").click()
    await page.get_by_role("link", name="Cancel").click()
    await expect(page.get_by_label("Any time")).to_have_value("24h")
    await expect(rows).to_have_count(2)
    await page.get_by_role("button", name="Replay all matching").click()
    await page.get_by_role("button", name="Replay all").click()
    await expect(page.locator("#said")).to_contain_text("2 queued for replay.")
    await expect(page.locator("#list")).to_contain_text("No dead letter matches")


@pytest.mark.usefixtures("once")
async def test_what_a_colleague_sends_again_goes_from_the_list(page: Page, scene: Scene) -> None:
    await bury(scene, 3)
    letters = (await scene.http.get("/v1/deliveries", params={"status": "dead"})).json()["data"]
    await page.goto(scene.console + "dead-letters")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("Once")
    await rows.nth(1).get_by_role("checkbox").check()
    scene.backend.down = False
    assert (await scene.http.post(f"/v1/deliveries/{letters[0]['id']}/replay")).status_code == 200
    await expect(rows).to_have_count(2)
    await expect(rows.first.get_by_role("checkbox")).to_be_checked()
    await expect(rows.first.get_by_role("checkbox")).to_be_focused()


@pytest.mark.usefixtures("once")
async def test_to_his_own_machine(page: Page, scene: Scene) -> None:
    (run,) = await bury(scene, 1)
    await page.goto(f"{scene.console}requests/{run}")
    await page.locator("#deliveries a", has_text="analytics").last.click()
    await page.get_by_label("Other URL").fill("ftp://127.0.0.1/")
    await page.get_by_role("button", name="Replay").click()
    await expect(page.locator("#url-wrong")).to_contain_text("http")
    await expect(page.get_by_label("Other URL")).to_have_value("ftp://127.0.0.1/")
    await page.get_by_label("Other URL").fill(f"{scene.backend_url}/webhooks/ai")
    await page.get_by_role("button", name="Replay").click()
    await expect(page.locator("h1 + .pill")).to_have_text("Delivered")
    await expect(page.locator("h1")).to_contain_text("/webhooks/ai")
