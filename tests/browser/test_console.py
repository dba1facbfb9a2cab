"""The console as somebody on call uses it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from .driver import Watch, log_in
from .scene import DAY, KEY, Scene, open_scene

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PHONE = {"width": 390, "height": 844}


async def test_he_logs_in_and_out_and_is_refused(browser: Browser, scene: Scene) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(scene.console + "requests?status=error")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.get_by_label("API key").fill("mr_live_wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("not a valid API key")
    await page.get_by_label("API key").fill(KEY)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(r"requests\?status=error$"))
    [cookie] = await context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["path"] == "/console"
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await page.goto(scene.console + "workflows")
    await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    await context.close()


async def test_a_link_from_a_chat_finds_him_logged_in(browser: Browser, scene: Scene) -> None:
    """A Strict cookie does not come with a link from another site; he is let in all the same."""
    context = await browser.new_context()
    page = await context.new_page()
    await log_in(page, scene)
    chat, link = "http://chat.example/", f'<a href="{scene.console}requests">look</a>'
    await page.route(chat, lambda route: route.fulfill(body=link, content_type="text/html"))
    await page.goto(chat)
    await page.get_by_text("look").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Requests")
    await context.close()


async def test_requests_appear_while_he_looks(page: Page, scene: Scene) -> None:
    await page.goto(scene.console + "requests")
    await expect(page.get_by_text("No requests yet")).to_be_visible()
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    run = await scene.submit("support_reply", act="hold", customer_data={"user_id": "u1"})
    row = page.locator(f'[data-key="{run}"]')
    await expect(row).to_contain_text("Generating")
    scene.cast.held.set()
    await expect(row).to_contain_text("Succeeded")
    other = await scene.submit("movie_suggestion", customer_data={"user_id": "u2"})
    await expect(page.locator("tbody tr").first).to_have_attribute("data-key", other)


async def test_the_timeline_grows_while_he_looks(page: Page, scene: Scene) -> None:
    run = await scene.submit("movie_suggestion", act="hold", customer_data={"mood": "silent"})
    await page.goto(f"{scene.console}requests/{run}")
    await expect(page.locator("h1 + .pill")).to_have_text("Generating")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    await page.locator("#entry-1 > summary").click()
    scene.cast.held.set()
    await expect(page.locator("h1 + .pill")).to_have_text("Awaiting callback")
    await expect(page.locator("#why")).to_contain_text("acknowledged the webhook")
    await expect(page.locator("#timeline")).to_contain_text("new_movie_suggestion")
    assert await page.locator("#entry-1").get_attribute("open") is not None, "what he opened stays open"
    answered = await scene.http.post(f"/v1/callback/{run}", json={"data": {"title": "Up"}})
    assert answered.status_code == 200
    await expect(page.locator("h1 + .pill")).to_have_text("Completed")
    await page.get_by_role("tab", name="Client message").click()
    await expect(page.locator("#doc-result")).to_contain_text('"title": "Up"')


async def test_the_overview_counts_while_he_looks(page: Page, scene: Scene) -> None:
    await page.goto(scene.console)
    await expect(page.get_by_text("Start here")).to_be_visible()
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    await scene.ended(await scene.submit("support_reply"))
    await expect(page.locator(".tile").first).to_contain_text("1")
    await expect(page.get_by_role("img", name=re.compile("by outcome"))).to_be_visible()


async def test_he_finds_his_way_by_keyboard(page: Page, scene: Scene) -> None:
    runs = [await scene.submit("support_reply") for _ in range(3)][::-1]
    for run in runs:
        await scene.ended(run)
    await page.goto(scene.console)
    places = {"r": "Requests", "w": "Workflows", "h": "Webhooks", "k": "API keys"}
    paths = {"r": "requests", "w": "workflows", "h": "webhooks", "k": "keys"}
    for key in "rwhkr":
        await page.keyboard.press("g")
        await page.keyboard.press(key)
        await page.wait_for_url(scene.console + paths[key])  # and for its script: it hears no key before
        await expect(page.get_by_role("heading", level=1)).to_have_text(places[key])
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await page.keyboard.press("j")
    await expect(page.locator("tr.at")).to_have_attribute("data-key", runs[1])
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{scene.console}requests/{runs[1]}*")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await page.keyboard.press("g")
    await page.keyboard.press("r")
    await page.wait_for_url(scene.console + "requests")
    await page.keyboard.press("/")
    await page.keyboard.type("user_id=nobody")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("No results")).to_be_visible()
    await expect(page.get_by_label("Search", exact=True)).to_have_value("user_id=nobody")


async def test_he_skips_to_the_content(page: Page, scene: Scene) -> None:
    await page.goto(scene.console + "workflows")
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()


async def test_he_filters_as_he_chooses(page: Page, scene: Scene) -> None:
    good = await scene.submit("support_reply")
    bad = await scene.submit("support_reply", act="refuse")
    for run in (good, bad):
        await scene.ended(run)
    await page.goto(scene.console + "requests")
    await page.get_by_label("Any status").select_option("Failed")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr")).to_have_attribute("data-key", bad)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    assert (await download.value).suggested_filename == "requests.csv"
    await page.get_by_role("link", name="Clear").click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.locator("details.more > summary").click()
    await page.get_by_label("Event name").fill("nobodys")
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Provider")).to_be_focused()  # who goes on to the next field is not done
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("No results")).to_be_visible()


async def test_he_makes_a_workflow_and_an_endpoint_for_it(page: Page, scene: Scene) -> None:
    await page.goto(scene.console + "workflows")
    await page.keyboard.press("n")
    await page.get_by_label("Name", exact=True).fill("film/club")
    await page.get_by_label("Provider", exact=True).select_option("mistral")
    await page.get_by_label("Event name").fill("new_film")
    await page.get_by_role("button", name="Create workflow").click()
    await expect(page.get_by_role("alert")).to_contain_text("a name has")
    await expect(page.get_by_label("Event name")).to_have_value("new_film")
    await page.get_by_label("Name", exact=True).fill("film_club")
    await page.get_by_role("button", name="Create workflow").click()
    await expect(page.get_by_role("status").first).to_contain_text("Created")
    await expect(page.get_by_role("heading", level=1)).to_have_text("film_club")
    await page.get_by_role("link", name="Webhooks").first.click()
    await page.get_by_role("link", name="New endpoint").click()
    await page.get_by_label("URL").fill(f"{scene.backend_url}/webhooks/ai")
    await page.get_by_label("Events").fill("new_film")
    await page.get_by_role("button", name="Create endpoint").click()
    secret = await page.locator("#secret").inner_text()
    assert secret.startswith("whsec_")
    await page.get_by_role("button", name="Send test event").click()
    await expect(page.get_by_role("status").first).to_contain_text("has taken the test event")
    await page.get_by_role("button", name="Disable").click()
    await expect(page.locator("h1 + .pill")).to_have_text("Disabled")
    run = await scene.submit("film_club")
    assert run


async def test_he_makes_a_key_and_copies_it(browser: Browser, scene: Scene) -> None:
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = await context.new_page()
    await log_in(page, scene)
    await page.goto(scene.console + "keys/new")
    await page.get_by_label("Name").fill("Backend")
    await page.get_by_role("button", name="Create key").click()
    key = await page.locator("#secret").inner_text()
    await page.get_by_role("button", name="Copy", exact=True).click()
    await expect(page.locator("#announce")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == key
    await page.get_by_role("link", name="Revoke").click()
    await page.get_by_role("button", name="Revoke it").click()
    await expect(page.get_by_role("status").first).to_contain_text("Key revoked")
    await context.close()


async def test_he_cancels_and_replays(page: Page, scene: Scene) -> None:
    run = await scene.submit("movie_suggestion", customer_data={"mood": "silent"})
    await scene.told(run)
    await page.goto(f"{scene.console}requests/{run}")
    await page.get_by_role("link", name="Cancel").click()
    await page.get_by_role("button", name="Cancel the request").click()
    await expect(page.locator("h1 + .pill")).to_have_text("Cancelled")
    await page.locator("summary", has_text="Replay").click()
    await page.get_by_role("button", name="from enrich").click()
    await expect(page.get_by_text("Replay started")).to_be_visible()
    assert run not in page.url
    await expect(page.get_by_role("link", name="replay of")).to_have_attribute("href", re.compile(run))


async def test_light_and_dark_are_kept(page: Page, scene: Scene) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto(scene.console)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(colour)
    await page.get_by_role("button", name="Theme").click()
    dark = await page.evaluate(colour)
    assert dark != light
    await page.goto(scene.console + "workflows")
    assert await page.evaluate(colour) == dark
    await page.keyboard.press("t")
    assert await page.evaluate(colour) == light
    await page.evaluate("localStorage.clear()")
    await page.emulate_media(color_scheme="dark")
    await page.reload()
    assert await page.evaluate(colour) == dark


async def test_without_script_everything_is_there(browser: Browser, scene: Scene) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await log_in(page, scene)
    run = await scene.submit("movie_suggestion", customer_data={"mood": "silent"})
    await scene.told(run)
    await page.goto(scene.console + "requests")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("link", name=re.compile(run)).click()
    await expect(page.locator("#doc-request")).to_be_visible()
    await expect(page.locator("#doc-answer")).to_be_visible()
    await expect(page.locator(".only-js:visible")).to_have_count(0)
    await page.locator("#entry-1 > summary").click()
    await expect(page.locator("#data-1")).to_be_visible()
    await page.get_by_role("link", name="Cancel").click()
    await page.get_by_role("button", name="Cancel the request").click()
    await expect(page.locator("h1 + .pill")).to_have_text("Cancelled")
    await context.close()


async def test_on_a_phone_nothing_overflows(browser: Browser, scene: Scene) -> None:
    run = await scene.submit("movie_suggestion", customer_data={"user_id": "u" * 60, "mood": "silent"})
    await scene.told(run)
    context = await browser.new_context(viewport=PHONE, is_mobile=True, has_touch=True)
    page = await context.new_page()
    await log_in(page, scene)
    endpoint = (await scene.http.get("/console/webhook")).json()["data"][0]["id"]
    configured = ("workflows/movie_suggestion", "structured-outputs/movie", f"webhooks/{endpoint}", "keys/new")
    lists = ("", "requests", f"requests/{run}", "workflows", "structured-outputs", "webhooks", "keys", "settings")
    for path in (*lists, *configured, "playground", f"playground?run={run}", "dead-letters"):
        await page.goto(scene.console + path)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], path
    await page.get_by_role("link", name="More").click()
    menu = page.get_by_role("navigation", name="Console")
    await menu.get_by_role("link", name="API keys").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("API keys")
    await context.close()


async def test_the_first_page_is_light_and_comes_from_here(browser: Browser, scene: Scene) -> None:
    await scene.ended(await scene.submit("support_reply"))
    context = await browser.new_context()
    watch = Watch(context, scene.url)
    page = await context.new_page()
    await page.goto(scene.console)
    await page.get_by_label("API key").fill(KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator(".live")).to_have_attribute("data-state", "on")
    assert 10_000 < watch.bytes < 60_000
    assert watch.elsewhere == []
    assert watch.errors == []
    await context.close()


@pytest.mark.parametrize("path", ["", "requests"])
async def test_the_first_page_is_light_with_a_day_behind_it(browser: Browser, tmp_path: Path, path: str) -> None:
    async with open_scene(tmp_path, behind=DAY) as scene:
        await scene.live_a_day(requests=100)
        context = await browser.new_context()
        watch = Watch(context, scene.url)
        page = await context.new_page()
        await page.goto(f"{scene.console}login?next={path}")
        await page.get_by_label("API key").fill(KEY)
        await page.keyboard.press("Enter")
        await expect(page.locator(".live")).to_have_attribute("data-state", "on")
        assert 10_000 < watch.bytes < 100_000
        await context.close()
