"""The browser of the tests: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from typing import Final

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, Response

from .scene import KEY, Scene

__all__ = ["CHROMIUM", "LAUNCH", "Watch", "log_in", "need_chromium"]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LAUNCH: Final = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Watch:
    """What the pages of a context log as errors (a breach of the Content Security Policy is one), what they fetch from
    elsewhere, and how many bytes came."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.bytes = 0
        self._origin = origin
        context.on("console", self._logged)
        context.on("weberror", lambda error: self.errors.append(str(error.error)))
        context.on("request", self._asked)
        context.on("response", self._answered)

    def _logged(self, message: ConsoleMessage) -> None:
        # Chromium logs each answer of 400 and above by itself; whether it was wanted is the test's to say.
        if message.type == "error" and "the server responded with a status of" not in message.text:
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self._origin, "data:", "about:", "blob:")):
            self.elsewhere.append(request.url)

    def _answered(self, response: Response) -> None:
        self.bytes += int(response.headers.get("content-length", 0))
        self.bytes += sum(len(name) + len(value) + 4 for name, value in response.headers.items())


def need_chromium() -> None:
    """Skip where there is no browser; where CI says that there must be one, fail."""
    if CHROMIUM is None:
        reason = "needs Chromium (apt-get install chromium)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


async def log_in(page: Page, scene: Scene) -> None:
    """As a person does."""
    await page.goto(scene.console + "login")
    await page.get_by_label("API key").fill(KEY)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(scene.console + "**")
