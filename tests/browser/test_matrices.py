"""Prices in groups: the editor and the form of simulations, by keyboard, in a real browser."""

from decimal import Decimal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from billing.simulations.jobs import latest_simulations
from metering.http.scope import Scope
from tests.browser.test_layout import LOOKS, WEAK_TEXTS
from tests.browser.test_products import HOSTILE, TIERS, a_product, kept
from tests.browser.visitor import visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIELDS = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"


@pytest_asyncio.fixture(loop_scope="session")
async def writer(stage, chromium):
    """Somebody at a desk whose key may write."""
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    async with visiting(chromium, stage) as arrived:
        await arrived.sign_in(secret)
        yield arrived


async def press(page, name, nth=0):
    await page.get_by_role("button", name=name).nth(nth).press("Enter")


async def fill(page, **texts):
    for name, text in texts.items():
        await page.locator(f'[name="{name.replace("__", ".")}"]').fill(text)


async def apart(page, name, prop, value):
    """Price the events of a property's value apart, in a new group."""
    await press(page, "Price some events apart")
    await page.wait_for_function("document.activeElement.name === 'groups.0.name'")
    await page.keyboard.type(name)
    await fill(page, groups__0__conditions__0__property=prop, groups__0__conditions__0__value=value)


async def test_a_price_becomes_a_matrix_and_a_plain_one_again(writer):
    """With other parameters: each group has its curve and keeps its id; one that is removed is archived."""
    page, stage = writer.page, writer.stage
    one = await a_product(stage)
    (before,) = one.configurations
    await writer.open(f"/products/{one.id}/prices/{before.id}")
    await apart(page, "Cards", "card", "visa, amex")
    await page.locator('[name="groups.0.conditions.0.operator"]').select_option("in")
    await press(page, "Add a condition to group 1")
    await page.wait_for_function("document.activeElement.name === 'groups.0.conditions.1.property'")
    await page.keyboard.type("n")
    await page.locator('[name="groups.0.conditions.1.operator"]').select_option("gt")
    await fill(page, groups__0__conditions__1__value="1.5", groups__0__prices__0__amount="7", countries="fr")
    await page.get_by_label("Committed for").select_option("years")
    await press(page, "Preview", -1)
    assert await page.locator(".group .curve").count() > 2
    assert await page.get_by_label("Price curve of group 2").locator(".mark").count() > 2
    await press(page, "Save the price")
    await expect(page.locator("h1")).to_have_text("Calls")
    (changed,) = await kept(stage)
    cards, rest = changed.configurations
    assert cards.group.metering_filter == {
        "name": "Cards",
        "configuration": {
            "conditional": "and",
            "fields": [
                {"property": "card", "operator": "in", "value": "visa, amex"},
                {"property": "n", "operator": "gt", "value": Decimal("1.5")},
            ],
        },
    }
    assert (cards.group.prices[0]["amount"], rest.group.prices[0]["amount"]) == (7, 5_000)
    assert (rest.id, rest.countries, str(rest.commitment_interval)) == (before.id, ("FR",), "1 year")
    assert cards.parameters == rest.parameters
    assert "Cards: card in visa, amex and n gt 1.5" in await writer.text()
    await page.get_by_role("link", name="Edit prices").first.click()
    await press(page, "Remove group 1")
    await fill(page, countries="none")
    await press(page, "Save the price")
    await expect(page.locator("h1")).to_have_text("Calls")
    (changed,) = await kept(stage)
    assert [(price.id, price.countries) for price in changed.configurations] == [(before.id, ())]
    assert await writer.open(f"/products/{one.id}/prices/{cards.id}") == 409


async def test_what_is_wrong_with_a_group_stands_beside_its_field(writer):
    """In the API's words, on a price that has others before it; nothing typed is lost, nothing is kept."""
    page, stage = writer.page, writer.stage
    first = {"currency": "USD", "prices": TIERS}
    one = await a_product(stage, more=[first])
    price = next(each for each in one.configurations if each.currency == "EUR")
    await writer.open(f"/products/{one.id}/prices/{price.id}")
    await apart(page, HOSTILE, "", "many")
    await page.locator('[name="groups.0.conditions.0.operator"]').select_option("gt")
    await fill(page, groups__1__prices__1__from="11", currency="XXX")
    await press(page, "Save the price")
    assert "property" in await page.locator('[id="groups.0.conditions.0.property-error-1"]').inner_text()
    assert "set it to 10" in await page.locator('[id="groups.1.prices.1.from-error-1"]').inner_text()
    assert await page.locator('[id^="currency-error"]').count() == 1
    assert await page.locator('[name="groups.0.name"]').input_value() == HOSTILE
    assert await page.locator("main script, main img").count() == 0
    await fill(page, groups__0__conditions__0__property="n", groups__1__prices__1__from="10", currency="EUR")
    await press(page, "Save the price")
    assert "number" in await page.locator('[id="groups.0.conditions.0.value-error-1"]').inner_text()
    assert (await kept(stage))[0].configurations == one.configurations


async def test_groups_that_were_changed_meanwhile_are_not_written_over(writer):
    """Whoever saves an older form is told, and keeps what was typed."""
    page, stage = writer.page, writer.stage
    one = await a_product(stage)
    path = f"/products/{one.id}/prices/{one.configurations[0].id}"
    await writer.open(path)
    await apart(page, "Cards", "card", "visa")
    await press(page, "Save the price")
    await writer.open(path)
    other = await page.context.new_page()
    await other.goto(stage.address + path)
    await press(other, "Remove group 1")
    await press(other, "Save the price")
    await expect(other.locator("h1")).to_have_text("Calls")
    await fill(page, groups__0__prices__0__amount="9")
    await press(page, "Save the price")
    assert "changed meanwhile" in await page.get_by_role("alert").inner_text()
    assert await page.locator('[name="groups.0.prices.0.amount"]').input_value() == "9"
    assert len((await kept(stage))[0].configurations) == 1


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_a_matrix_is_simulated_and_fits(stage, chromium, tmp_path, width, scheme):
    """A draft begins with the present groups; its terms and customers are asked for as the API takes them."""
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    await stage.customer(name="Acme", external_id="acme", currency="EUR")
    where = {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}
    rows = [TIERS[0], {**TIERS[2], "from": 10}]
    visa = {"currency": "EUR", "prices": rows, "metering_filter": {"name": HOSTILE, "configuration": where}}
    one = await a_product(stage, more=[visa])
    async with visiting(chromium, stage, width, scheme) as visitor:
        page = visitor.page

        async def fits(name):
            assert await visitor.overflow() <= 0, name
            assert await page.evaluate(WEAK_TEXTS) == [], name
            assert await page.evaluate(f"{FIELDS}.filter(field => !field.labels.length).length") == 0
            assert await page.locator("main table:not(:has(caption))").count() == 0
            await page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)

        await visitor.sign_in(secret)
        assert await visitor.open(f"/products/{one.id}") == 200
        await fits("product")
        await page.get_by_role("link", name="Edit prices").first.click()
        await fits("editor")
        await visitor.open(f"/products/{one.id}/simulations/new")
        await fill(page, drafts__0__min_amount="700", drafts__0__groups__0__prices__0__amount="9")
        await fill(page, customer_ids="acme\nnobody")
        await press(page, "Preview", -1)
        assert await page.locator(".group .curve").count() > 2
        await fits("simulation")
        await press(page, "Start the simulation")
        assert "nobody" in await page.locator("main .error").first.inner_text()
        assert await page.get_by_label("Customers").input_value() == "acme\nnobody"
        await fill(page, customer_ids="acme")
        await press(page, "Start the simulation")
        await expect(page.locator("h1")).to_contain_text("Simulation")
        (begun,) = await stage.registry.read(latest_simulations, stage.world, one.id)
        (draft,) = begun.asked.drafts
        assert draft.min_amount == 700
        assert [group.prices[0]["amount"] for group in draft.groups] == [9, 5_000]
        assert draft.groups[0].metering_filter == one.configurations[0].group.metering_filter
