"""Takes the pictures of the console that the documentation shows: each page, light and dark, and on a phone.

    python -m tests.browser.shots [folder] [name …]

Look at them before you keep them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from .driver import CHROMIUM, LAUNCH, log_in
from .scene import DAY, Scene, open_scene
from .small import small
from .test_approvals import hold

WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
SCREENFUL = ("requests", "keyboard")  # of the others the whole page is pictured
FOLDER = Path(__file__).parents[2] / "docs" / "images"

BAR = "document.body.style.position = 'relative'; document.querySelector('.rail').style.position = 'absolute'"
RAIL = "document.querySelector('.rail').style.height = `${document.documentElement.scrollHeight}px`"

Visit = Callable[[Scene, Page], Awaitable[None]]


def at(path: str) -> Visit:
    async def go(scene: Scene, page: Page) -> None:
        await page.goto(scene.console + path)

    return go


class Album:
    """The pages to be pictured, by name; the requests in them are made first."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.endpoint = ""

    async def prepare(self, scene: Scene) -> None:
        await scene.live_a_day()
        await self._bury(scene)
        customer = {"user_id": "user_117", "plan": "pro"}
        scene.backend.down = True
        self.runs["fallback"] = await scene.submit("movie_suggestion", act="fall back", customer_data=customer)
        await scene.ended(self.runs["fallback"])
        tried = scene.cast.entries[self.runs["fallback"]]
        await scene.cast.until(lambda: sum(each.kind == "delivery.attempted" for each in tried) == 2, "both webhooks")
        failed = await scene.submit("movie_suggestion", customer_data={**customer, "mood": "bad"})
        self.runs["failed"] = failed
        await scene.ended(failed)
        await scene.cast.until(lambda: scene.cast.wrote(failed, "delivery.attempted"))
        scene.clock.skip(40)
        self.runs["waiting"] = await scene.submit("movie_suggestion", customer_data={**customer, "mood": "silent"})
        await scene.told(self.runs["waiting"])
        for name in ("user_104", "user_117"):
            self.runs["approval"] = await hold(scene, customer_data={**customer, "user_id": name})
            scene.clock.skip(40)
        scene.clock.skip(75)
        self.runs["running"] = await scene.submit("support_reply", act="hold", customer_data=customer)

    def pages(self) -> dict[str, Visit]:
        return {
            "overview": at(""),
            "requests": at("requests"),
            "request": at(f"requests/{self.runs['fallback']}"),
            "request-failed": at(f"requests/{self.runs['failed']}"),
            "request-waiting": at(f"requests/{self.runs['waiting']}"),
            "playground": self._playground,
            "dead-letters": at("dead-letters"),
            "dead-letter": self._dead_letter,
            "approvals": at("approvals"),
            "approval": at(f"approvals/{self.runs['approval']}"),
            "workflows": at("workflows"),
            "workflow": at("workflows/new"),
            "structured-outputs": at("structured-outputs"),
            "webhooks": at("webhooks"),
            "webhook": at(f"webhooks/{self.endpoint}"),
            "webhook-new": at("webhooks/new"),
            "keys": at("keys"),
            "settings": at("settings"),
            "keyboard": self._keyboard,
        }

    async def _bury(self, scene: Scene) -> None:
        """Some webhooks that nobody has taken."""
        search = {
            "url": f"{scene.backend_url}/analytics?index=films",
            "description": "Search index",
            "events": ["task.completed"],
            "retry": {"delays": [0, 5, 30, 120]},
        }
        self.endpoint = endpoint = (await scene.http.post("/console/webhook", json=search)).json()["id"]
        scene.backend.down = True
        for _ in range(5):
            run = await scene.submit("film_facts", customer_data={"user_id": "user_108"})
            for _ in range(100):
                if scene.cast.wrote(run, "delivery.exhausted"):
                    break
                scene.clock.skip(20)
                await asyncio.sleep(0.05)
        scene.backend.down = False
        await scene.http.patch(f"/console/webhook/{endpoint}", json={"enabled": False})
        for _ in range(100):  # the others are told in the end, and are asked at once again
            if not (await scene.http.get("/v1/deliveries", params={"status": "pending"})).json()["data"]:
                break
            scene.clock.skip(60)
            await asyncio.sleep(0.05)

    async def _playground(self, scene: Scene, page: Page) -> None:
        await page.goto(scene.console + "playground?workflow=movie_suggestion")
        await page.get_by_label("Message").fill("a robot that gardens")
        await page.get_by_role("button", name="Run").click()
        await page.wait_for_selector("#final-response", timeout=15_000)
        await page.evaluate(
            "document.activeElement.blur(); history.replaceState(null, '', location.pathname); scrollTo(0, 0)"
        )

    async def _dead_letter(self, scene: Scene, page: Page) -> None:
        await page.goto(scene.console + "dead-letters")
        await page.locator("tbody a").first.click()
        await page.wait_for_selector("#attempts")

    async def _keyboard(self, scene: Scene, page: Page) -> None:
        await page.goto(scene.console + "requests")
        await page.keyboard.press("?")


async def take(browser: Browser, scene: Scene, album: Album, folder: Path, only: list[str]) -> None:
    looks = {"light": (WIDE, "light", False), "dark": (WIDE, "dark", False), "phone": (PHONE, "light", True)}
    looks["phone-dark"] = (PHONE, "dark", True)
    for look, (size, theme, mobile) in looks.items():
        context = await browser.new_context(
            viewport=size, color_scheme=theme, device_scale_factor=1, is_mobile=mobile, has_touch=mobile
        )
        page, blank = await context.new_page(), await context.new_page()
        await page.bring_to_front()
        await page.goto(scene.console)
        if not only or "login" in only:
            (folder / f"login-{look}.png").write_bytes(await small(blank, await page.screenshot()))
        await log_in(page, scene)
        for name, visit in album.pages().items():
            if not only or name in only:
                await visit(scene, page)
                await page.wait_for_timeout(250)
                if mobile:  # the bar of a phone stands at the end of the page, not across it
                    await page.evaluate(BAR)
                elif name not in SCREENFUL:  # and the rail of a wide page goes down to its end
                    await page.evaluate(RAIL)
                picture = await page.screenshot(full_page=name not in SCREENFUL)
                (folder / f"{name}-{look}.png").write_bytes(await small(blank, picture))
        await context.close()


async def main(folder: Path, only: list[str]) -> None:
    album = Album()
    with tempfile.TemporaryDirectory() as path:
        async with open_scene(Path(path), behind=DAY) as scene, async_playwright() as playwright:
            await album.prepare(scene)
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=LAUNCH)
            await take(browser, scene, album, folder, only)
            await browser.close()


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    chosen.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen, sys.argv[2:]))
