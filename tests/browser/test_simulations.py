"""Draft prices over past usage, from the form to the result, in a real browser."""

from datetime import UTC, datetime

import pytest
from playwright.async_api import expect

from billing.simulations.jobs import latest_simulations
from metering.http.scope import Scope
from tests.browser.stage import staged
from tests.browser.test_layout import LOOKS, WEAK_TEXTS
from tests.browser.test_products import HOSTILE, a_product
from tests.browser.visitor import visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDED_MS = 120_000
OCTOBER = datetime(2026, 10, 15, tzinfo=UTC)
TIERS = [
    {"type": "volume", "from": 0, "to": 2, "amount": 500},
    {"type": "volume", "from": 2, "to": None, "amount": 100},
]
CALLS = {"Acme": 1, "Globex": 4, HOSTILE: 12}
"""By present prices they pay 5.00, 12.00 and 20.00."""


async def used(stage):
    """Three customers who called so often in October, and the product that they have."""
    for number, name in enumerate(CALLS):
        await stage.customer(name=name, external_id=f"ext-{number}", currency="EUR")
    await stage.send(
        *(
            {
                "customer_id": f"ext-{number}",
                "timestamp": OCTOBER,
                "record": {"id": f"{stage.world.account_id}-{number}-{at}"},
            }
            for number, count in enumerate(CALLS.values())
            for at in range(count)
        )
    )
    return await a_product(stage, rows=TIERS)


async def begin(visitor, product):
    """Start with a draft of 3.00 each, and another like the present prices."""
    page = visitor.page
    await visitor.open(f"/products/{product.id}")
    await page.get_by_role("link", name="Simulate other prices").click()
    await page.get_by_role("button", name="Add a draft").click()
    await page.locator('[name="drafts.1.name"]').fill("As it is")
    await page.locator('[name="drafts.0.name"]').fill("Flat")
    await page.locator('[name="drafts.0.groups.0.prices.0.amount"]').fill("300")
    await page.locator('[name="drafts.0.groups.0.prices.1.amount"]').fill("300")
    await page.get_by_role("button", name="Start the simulation").click()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_drafts_are_simulated(stage, chromium, tmp_path, width, scheme):
    """The form begins with present prices; the result tells totals, winners, losers and each customer, and fits."""
    product = await used(stage)
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    async with visiting(chromium, stage, width, scheme) as visitor:
        page = visitor.page

        async def fits(name):
            assert await visitor.overflow() <= 0, name
            assert await page.evaluate(WEAK_TEXTS) == [], name
            uncaptioned = "[...document.querySelectorAll('main table')].filter(table => !table.caption).length"
            assert await page.evaluate(uncaptioned) == 0
            fields = "[...document.querySelectorAll('input:not([type=hidden]), select')]"
            assert await page.evaluate(f"{fields}.filter(field => !field.labels.length).length") == 0
            assert await page.locator("main script, main img").count() == 0
            await page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)

        await visitor.sign_in(secret)
        await visitor.open(f"/products/{product.id}/simulations/new")
        await page.get_by_role("button", name="Preview").last.click()
        assert "2: €10.00" in await page.locator(".mark > title").all_text_contents()
        await fits("form")
        await begin(visitor, product)
        await expect(page.locator("h1")).to_have_text("Simulation done", timeout=ENDED_MS)
        await fits("result")
        totals = await page.get_by_role("region", name="Totals", exact=True).locator("tbody tr").all_inner_texts()
        present, flat, same = (" ".join(text.split()) for text in totals)
        assert "€37.00" in present
        # 17 calls at 3.00: the first saves 2.00, the second pays as before, the third 16.00 more.
        for said in ("€51.00", "+€14.00", "1 customer", "\N{MINUS SIGN}€2.00", "+€16.00"):
            assert said in flat
        assert "€37.00" in same
        table = page.get_by_role("region", name="Customers", exact=True)
        rows = {name: await table.locator("tbody tr", has_text=name).inner_text() for name in ("Acme", "Globex")}
        assert "€5.00" in rows["Acme"]
        assert "€3.00" in rows["Acme"]
        assert "\N{MINUS SIGN}€2.00" in rows["Acme"]
        assert "€12.00" in rows["Globex"]
        assert "alert(1)" in await table.inner_text()
        titles = await page.locator(".step title").all_text_contents()
        assert "20 to 50 % less: 1 customer" in titles
        assert "over 50 % more: 1 customer" in titles
        await visitor.open(f"/products/{product.id}")
        await page.get_by_role("region", name="Simulations", exact=True).get_by_role("link").click()
        await page.get_by_role("button", name="Forget it").click()
        await expect(page.locator("h1")).to_have_text("Calls")
        assert await stage.registry.read(latest_simulations, stage.world, product.id) == []


async def test_a_simulation_that_waits_is_cancelled(tmp_path, store, chromium):
    """Its page asks to be loaded again while it waits; cancelled, it is gone; a fourth one has to wait outside."""
    async with staged(tmp_path, store, simulates=False) as stage:
        product = await used(stage)
        _, secret = await stage.key(Scope.READ, Scope.WRITE)
        async with visiting(chromium, stage) as visitor:
            await visitor.sign_in(secret)
            for _ in range(4):
                await begin(visitor, product)
            assert "wait, or DELETE one" in await visitor.text()
            assert await visitor.page.locator('[name="drafts.0.groups.0.prices.0.amount"]').input_value() == "300"
            for left in (2, 1, 0):
                newest, *_ = await stage.registry.read(latest_simulations, stage.world, product.id)
                response = await visitor.page.goto(f"{stage.address}/simulations/{newest.id}")
                assert response.headers["refresh"] == "2"
                assert await visitor.page.get_by_role("progressbar").is_visible()
                await visitor.page.get_by_role("button", name="Cancel").click()
                await expect(visitor.page.locator("h1")).to_have_text("Calls")
                assert len(await stage.registry.read(latest_simulations, stage.world, product.id)) == left
                assert await visitor.open(f"/simulations/{newest.id}") == 404


async def test_what_is_wrong_with_a_draft_stands_beside_its_field(stage, chromium):
    """Of whichever draft; nothing typed is lost, and nothing begins."""
    product = await used(stage)
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    async with visiting(chromium, stage) as visitor:
        page = visitor.page
        await visitor.sign_in(secret)
        await visitor.open(f"/products/{product.id}/simulations/new")
        await page.get_by_role("button", name="Add a draft").click()
        await page.locator('[name="drafts.1.groups.0.prices.1.from"]').fill("7")
        await page.locator('[name="drafts.1.name"]').fill(HOSTILE)
        await page.get_by_label("Until, not included").fill("2026-09-01")
        await page.get_by_role("button", name="Start the simulation").click()
        assert "set it to 2" in await page.locator('[id="drafts.1.groups.0.prices.1.from-error-1"]').inner_text()
        assert await page.get_by_label("Until, not included").get_attribute("aria-invalid") == "true"
        assert await page.locator('[name="drafts.1.name"]').input_value() == HOSTILE
        await page.get_by_role("button", name="Remove draft 1").click()
        assert await page.locator('[name="drafts.0.groups.0.prices.1.from"]').input_value() == "7"
        assert await page.locator('[name="drafts.1.name"]').count() == 0
        assert await stage.registry.read(latest_simulations, stage.world, product.id) == []


async def test_who_may_only_read_begins_and_forgets_nothing(visitor):
    """Neither the form nor what is sent without it."""
    product = await used(visitor.stage)
    for path in (f"/products/{product.id}/simulations/new", "/simulations/sim_none/forget"):
        answer = await visitor.page.request.post(visitor.stage.address + path, form={"do": "start"})
        assert answer.status == 403
    assert await visitor.open("/simulations/sim_none") == 404
