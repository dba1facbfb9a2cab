"""The playground as somebody uses it who wants to see the whole flow before there is a backend."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from .driver import log_in
from .scene import FILMS, Scene

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]


async def test_he_tries_a_workflow_to_its_final_response(page: Page, scene: Scene) -> None:
    await page.goto(scene.console)
    await page.keyboard.press("g")
    await page.keyboard.press("p")
    await page.wait_for_url(scene.console + "playground")
    await page.get_by_label("Workflow").select_option("movie_suggestion")
    await page.get_by_label("Message").fill(FILMS[1][0])
    await page.keyboard.press("Control+Enter")
    outcome = page.locator("#outcome")
    await expect(outcome.locator(".live")).to_have_attribute("data-state", "on")
    await expect(outcome).to_contain_text("about 1.5 s")
    await expect(outcome.get_by_text("Simulating backend callback", exact=True)).to_be_visible()
    scene.clock.skip(1.5)
    await expect(page.locator("#final-response")).to_contain_text("simulated_enrichment")
    await expect(page.locator("#ai-data")).to_contain_text("WALL·E")
    await expect(page.locator("#enriched-data")).to_contain_text("WALL·E")
    await expect(outcome.locator(".pill")).to_have_text("Completed")
    await expect(outcome.locator(".gantt")).to_contain_text("new_movie_suggestion")
    await expect(page.get_by_label("Message")).to_have_value(FILMS[1][0])
    await page.get_by_role("link", name="View request").click()
    await expect(page.locator("#story")).to_contain_text("Simulating backend callback")
    await page.goto(scene.console + "requests")
    await expect(page.get_by_text("No requests yet")).to_be_visible()


async def test_he_asks_his_real_backend(page: Page, scene: Scene) -> None:
    await page.goto(scene.console + "playground?workflow=movie_suggestion")
    await page.get_by_label("Message").fill(FILMS[0][0])
    await page.get_by_label(re.compile("^Real")).check()
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("#final-response")).to_contain_text("in_stock")
    await expect(page.locator("#outcome .acts")).to_contain_text("an answer by callback")
    await expect(page.get_by_label(re.compile("^Real"))).to_be_checked()


async def test_the_code_follows_what_he_types(page: Page, scene: Scene) -> None:
    await page.goto(scene.console + "playground")
    await expect(page.locator("#code-curl")).to_contain_text("A film about dreams")
    await page.get_by_label("Message").press_sequentially("it's a heist")
    await expect(page.locator("#code-curl")).to_contain_text("it'\\''s a heist")
    await page.get_by_role("tab", name="Python").click()
    await expect(page.locator("#code-python")).to_be_visible()
    await page.get_by_label("Workflow").select_option("support_reply")
    await expect(page.locator("#code-python")).to_contain_text("support_reply")
    await expect(page.locator("#hands-off")).to_contain_text("no event name")
    await expect(page.locator("#code-python")).to_be_visible()
    assert (await scene.http.get("/v1/requests?tag=all")).json()["data"] == []


async def test_without_script_he_waits_for_the_page(browser: Browser, scene: Scene) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await log_in(page, scene)
    await page.goto(scene.console + "playground")
    await page.get_by_label("Message").fill(FILMS[0][0])
    await page.get_by_role("button", name="Run").click()
    run = page.url.partition("run=")[2].partition("#")[0]
    await scene.cast.until(lambda: scene.cast.wrote(run, "stage.progress"))
    scene.clock.skip(1.5)
    await scene.ended(run)
    await page.get_by_role("link", name="Refresh").click()  # or he waits two seconds: the page comes again by itself
    await expect(page.locator("#final-response")).to_contain_text("simulated_enrichment")
    await context.close()
