"""Every page at both widths and in both themes: nothing sticks out, and all of it can be used by keyboard."""

import math
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from metering.aggregation import Operation
from tests.browser.stage import NOW, an_invoice
from tests.browser.visitor import DESK, PHONE, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

WEAK_TEXTS = (Path(__file__).parent / "contrast.js").read_text()
LOOKS = [(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")]


@pytest_asyncio.fixture(loop_scope="session")
async def furnished(stage):
    """Two months of usage by three customers, a corrected event, and invoices."""
    await stage.aggregator(
        name="Tokens", entity="api_call", operation=Operation.SUM, property="tokens", unit_name="tokens"
    )
    customers = [
        await stage.customer(name=name, external_id=f"ext-{number}", currency="EUR", timezone="Europe/Paris")
        for number, name in enumerate(("Acme Corporation", "Zoë & Søn ApS", "Globex"))
    ]
    await stage.send(
        *(
            {
                "timestamp": NOW - timedelta(days=day, minutes=day),
                "customer_id": f"ext-{day % 3}",
                "record": {"id": f"req-{day:03}", "tokens": 10_000 + int(9_000 * math.sin(day)), "model": "large"},
                "received_at": NOW - timedelta(minutes=day),
            }
            for day in range(59)
        )
    )
    await stage.send({"timestamp": NOW, "customer_id": "ext-1", "record": {"id": "req-000", "tokens": 5}})
    stage.invoices = [an_invoice(customers[0].id)]
    return stage


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_every_page_fits(furnished, chromium, tmp_path, width, scheme):
    """No page is wider than the window; a picture of each is kept beside the test's files."""
    async with visiting(chromium, furnished, width, scheme) as visitor:
        await visitor.open("/sign-in")
        await visitor.sign_in()
        for path in (
            "/",
            "/?granularity=hour",
            "/events",
            "/events/api_call/req-000",
            "/customers",
            "/customers/ext-0",
        ):
            assert await visitor.open(path) == 200
            assert await visitor.overflow() <= 0, path
            picture = tmp_path / f"{path.strip('/?').replace('/', '-') or 'usage'}-{width}-{scheme}.png"
            assert len(await visitor.page.screenshot(path=picture, full_page=True)) > 10_000
        assert await visitor.open("/nowhere/at/all") == 404


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_every_page_stands_without_data(stage, chromium, width, scheme):
    """Nothing is broken before the first event, and each page says how to begin, with a line to copy."""
    async with visiting(chromium, stage, width, scheme) as visitor:
        await visitor.sign_in()
        for path in ("/", "/events", "/customers"):
            assert await visitor.open(path) == 200
            assert await visitor.overflow() <= 0, path
            assert f"curl {stage.address}/v1/" in await visitor.text()


async def test_the_themes_differ(furnished, chromium):
    """The page follows what the browser prefers, and text stands out in both."""
    colours = {}
    for scheme in ("light", "dark"):
        async with visiting(chromium, furnished, DESK, scheme) as visitor:
            await visitor.sign_in()
            colours[scheme] = await visitor.page.evaluate(
                "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
            )
    light, dark = (
        [sum(int(part) for part in colour.strip("rgb()").split(",")) for colour in colours[scheme]]
        for scheme in ("light", "dark")
    )
    assert light[0] - light[1] > 500
    assert dark[1] - dark[0] > 500


async def test_text_is_dark_enough_against_its_ground(furnished, chromium):
    """Every piece of text on the main pages has the contrast that WCAG AA asks for, in both themes."""
    for scheme in ("light", "dark"):
        async with visiting(chromium, furnished, DESK, scheme) as visitor:
            await visitor.sign_in()
            for path in ("/", "/events", "/events/api_call/req-000", "/customers/ext-0"):
                await visitor.open(path)
                assert await visitor.page.evaluate(WEAK_TEXTS) == [], (scheme, path)


async def test_the_choices_stand_open_at_a_desk_and_closed_on_a_phone(furnished, chromium):
    """On a phone the figures come first; the choices are one tap away."""
    async with visiting(chromium, furnished, DESK) as visitor:
        await visitor.sign_in()
        assert await visitor.page.get_by_label("Time zone").is_visible()
    async with visiting(chromium, furnished, PHONE) as visitor:
        await visitor.sign_in()
        assert not await visitor.page.get_by_label("Time zone").is_visible()
        await visitor.page.get_by_text("Change what is shown").click()
        assert await visitor.page.get_by_label("Time zone").is_visible()


async def test_everything_is_reached_by_keyboard(furnished, chromium):
    """The first stop skips to the content; each later one shows where it is."""
    async with visiting(chromium, furnished) as visitor:
        await visitor.sign_in()
        await visitor.open("/")
        await visitor.page.keyboard.press("Tab")
        assert await visitor.page.evaluate("document.activeElement.textContent") == "Skip to content"
        for _ in range(8):
            await visitor.page.keyboard.press("Tab")
            assert await visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


async def test_fields_have_labels_and_pages_have_landmarks(furnished, chromium):
    """Somebody who does not see the page can still tell what is what."""
    async with visiting(chromium, furnished) as visitor:
        await visitor.sign_in()
        for path in ("/", "/events", "/customers", "/customers/ext-0", "/events/api_call/req-000"):
            await visitor.open(path)
            fields = "[...document.querySelectorAll('input:not([type=hidden]), select')]"
            assert await visitor.page.evaluate(f"{fields}.filter(field => !field.labels.length).length") == 0
            for landmark in ("header", "nav[aria-label]", "main", "h1"):
                assert await visitor.page.locator(landmark).first.is_visible()
            assert await visitor.page.locator("h1").count() == 1
            ids = await visitor.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
            assert len(ids) == len(set(ids))
