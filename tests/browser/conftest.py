"""A real Chromium, one for all tests here, and a stage for each.

A missing browser fails these tests; it never skips them.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession, CookieJar
from playwright.async_api import Browser, async_playwright
from structlog.testing import capture_logs

from tests.browser.stage import Stage, staged
from tests.browser.visitor import Visitor, visiting

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path, store) -> AsyncIterator[Stage]:
    """Served pages; that anything ended in a 500 fails the test."""
    with capture_logs() as logged:
        async with staged(tmp_path, store) as built:
            yield built
    assert [entry for entry in logged if entry["log_level"] == "error"] == []


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(stage, chromium) -> AsyncIterator[Visitor]:
    """Somebody at a desk, signed in."""
    async with visiting(chromium, stage) as arrived:
        await arrived.sign_in()
        yield arrived


@pytest_asyncio.fixture(loop_scope="session")
async def client() -> AsyncIterator[ClientSession]:
    """Something that is no browser, and keeps cookies."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser takes its time: `make check` leaves these tests out."""
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)
