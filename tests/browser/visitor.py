"""Somebody at a browser, who notices everything that goes wrong behind the page."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, Page

from tests.browser.stage import Stage

PHONE, DESK = 390, 1440
HEIGHTS = {PHONE: 844, DESK: 900}


@dataclass
class Visitor:
    """A page of a browser of its own. `troubles` are errors, dialogs, violations of the policy and missing parts."""

    page: Page
    stage: Stage
    troubles: list[str] = field(default_factory=list)

    async def open(self, path: str) -> int:
        """Go to a page and give the status of the answer."""
        response = await self.page.goto(self.stage.address + path)
        assert response is not None
        return response.status

    async def sign_in(self, secret: str | None = None) -> None:
        """Sign in through the form; whether it worked is for the test to see."""
        await self.open("/sign-in")
        await self.page.get_by_label("API key").fill(secret or self.stage.secret)
        await self.page.get_by_role("button", name="Sign in").click()

    async def text(self) -> str:
        """Give what is to be read in the page's main part."""
        return await self.page.locator("main").inner_text()

    async def overflow(self) -> int:
        """Give by how many pixels the page is wider than the window."""
        return await self.page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")


@asynccontextmanager
async def visiting(chromium: Browser, stage: Stage, width: int = DESK, scheme: str = "light", *, scripts: bool = True):
    """Open a browser that is signed out. At the end nothing must have gone wrong behind the pages."""
    context = await chromium.new_context(
        viewport={"width": width, "height": HEIGHTS[width]}, color_scheme=scheme, java_script_enabled=scripts
    )
    page = await context.new_page()
    visitor = Visitor(page, stage)

    async def refuse(dialog):
        visitor.troubles.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()

    def note_console(message):
        # That a page itself was answered 4xx is logged too; parts of a page that fail are noted below.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            visitor.troubles.append(f"console: {message.text}")

    def note_response(response):
        if response.status >= 400 and response.request.resource_type != "document":
            visitor.troubles.append(f"{response.status} for {response.url}")

    page.on("dialog", refuse)
    page.on("console", note_console)
    page.on("response", note_response)
    page.on("pageerror", lambda error: visitor.troubles.append(f"script: {error}"))
    try:
        yield visitor
    finally:
        await context.close()
    assert visitor.troubles == []
