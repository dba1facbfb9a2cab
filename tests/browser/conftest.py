"""One browser for the tests of a process, one scene and one page for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from .driver import CHROMIUM, LAUNCH, Watch, log_in, need_chromium
from .scene import Scene, open_scene

expect.set_options(timeout=15_000)  # a busy machine is no failure


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for all: the browser lives on it, and to start one takes longer than most tests."""
    return "asyncio"


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium; skipped with the reason where there is none."""
    need_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=LAUNCH)
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path) as opened:
        yield opened


@pytest.fixture
async def page(browser: Browser, scene: Scene) -> AsyncIterator[Page]:
    """A page of somebody who has logged in. What it logs as an error, or fetches from elsewhere, fails the test."""
    context = await browser.new_context()
    watch = Watch(context, scene.url)
    context.set_default_timeout(15_000)
    page = await context.new_page()
    await log_in(page, scene)
    yield page
    await context.close()
    assert watch.errors == []
    assert watch.elsewhere == []
