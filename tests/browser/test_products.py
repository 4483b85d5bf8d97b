"""Products and the editor of their prices, in a real browser."""

import re
from decimal import Decimal

import pytest
import pytest_asyncio
from playwright.async_api import expect

from billing.api.products import make_product
from billing.catalog.reading import read_product
from billing.catalog.registry import list_products
from metering.aggregation import Operation
from metering.http.scope import Scope
from tests.browser.stage import NOW
from tests.browser.test_layout import LOOKS, WEAK_TEXTS
from tests.browser.visitor import DESK, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

TIERS = [
    {"type": "volume", "from": 0, "to": 10, "amount": 5_000},
    {"type": "volume", "from": 10, "to": 50, "amount": 4_000},
    {"type": "volume", "from": 50, "to": None, "amount": Decimal("0.25")},
]
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202eevil'


@pytest_asyncio.fixture(loop_scope="session")
async def writer(stage, chromium):
    """Somebody at a desk whose key may write, and an aggregator."""
    await stage.aggregator(name="Calls", entity="api_call", operation=Operation.COUNT, unit_name="calls")
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    async with visiting(chromium, stage) as arrived:
        await arrived.sign_in(secret)
        yield arrived


async def a_product(stage, name="Calls", rows=TIERS, kind="dynamic", more=(), **fields):
    """Keep a product as the API does; `more` are configurations before its own."""
    counted = {}
    if kind == "dynamic":
        aggregator = await stage.aggregator(name=name, entity="api_call", operation=Operation.COUNT)
        counted = {"aggregator_id": aggregator.id}
    price = {"currency": "EUR", "prices": rows, **fields}
    asked = read_product({"name": name, "type": kind, **counted, "price_configurations": [*more, price]})
    made, _ = await stage.registry.write(make_product, stage.world, asked, NOW, stage.key_id)
    return made


async def kept(stage):
    return (await stage.registry.read(lambda c: list_products(c, stage.world, conditions=(), take=50, skip=0)))[0]


async def fill_rows(page, *rows):
    """Type rows of (from, to, amount), adding rows by the button."""
    for number, row in enumerate(rows):
        if number:
            await page.get_by_role("button", name="Add a row").click()
        for name, text in zip(("from", "to", "amount"), row, strict=True):
            await page.locator(f'[name="groups.0.prices.{number}.{name}"]').fill(text)


async def test_a_product_is_made_by_the_form(writer):
    """Rows are added, the preview is drawn, the product is kept as the API would, and its page shows it."""
    page, stage = writer.page, writer.stage
    await writer.open("/products")
    await page.get_by_role("link", name="New product").click()
    await page.get_by_label("Name").fill("Calls of the API")
    await page.get_by_label("Counted by").select_option(label="Calls")
    await page.get_by_label("Countries").fill("fr, de")
    await page.get_by_label("Billed every").select_option("months")
    await fill_rows(page, ("0", "10", "5000"), ("10", "50", "4000"), ("50", "", "2000"))
    await page.get_by_role("button", name="Preview").last.click()
    assert await kept(stage) == []
    assert await page.locator('[name="groups.0.prices.1.amount"]').input_value() == "4000"
    titles = await page.locator(".mark > title").all_text_contents()
    assert {"0: €0.00", "10: €500.00", "50: €2,100.00", "75: €2,600.00"} <= set(titles)
    await page.get_by_role("button", name="Create product").click()
    await expect(page.locator("h1")).to_have_text("Calls of the API")
    (one,) = await kept(stage)
    (price,) = one.configurations
    assert (price.currency, price.countries, str(price.billing_interval)) == ("EUR", ("FR", "DE"), "1 month")
    assert [(row.get("from"), row["to"], row["amount"]) for row in price.group.prices] == [
        (0, 10, 5_000),
        (10, 50, 4_000),
        (50, None, 2_000),
    ]
    text = await writer.text()
    for shown in ("FR, DE", "1 month", "default catalog", "€40.00", "no end"):
        assert shown in text


async def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(writer):
    """The words are the API's; hostile text is given back as text; nothing is kept."""
    page, stage = writer.page, writer.stage
    await writer.open("/products/new")
    await page.get_by_label("Name").fill(HOSTILE)
    await page.get_by_label("Currency").fill("XXX")
    await fill_rows(page, ("0", "10", "many"), ("20", "", "1"))
    await page.get_by_role("button", name="Create product").click()
    wrong = page.locator('[name="groups.0.prices.0.amount"]')
    assert await wrong.get_attribute("aria-invalid") == "true"
    told = await wrong.get_attribute("aria-describedby")
    assert "'many'" in await page.locator(f'[id="{told}"]').inner_text()
    assert "set it to 10" in await page.locator('[id="groups.0.prices.1.from-error-1"]').inner_text()
    assert await page.locator('[id="currency-error-1"]').is_visible()
    assert await wrong.input_value() == "many"
    assert await page.get_by_label("Name").input_value() == HOSTILE
    assert await page.locator("main script, main img").count() == 0
    assert await kept(stage) == []


async def test_rows_are_removed_and_models_changed_by_buttons(writer):
    """Another model shows its own fields; what was typed in those of the former is back with it."""
    page = writer.page
    await writer.open("/products/new")
    await fill_rows(page, ("0", "10", "7"), ("10", "", "3"))
    await page.get_by_role("button", name="Remove row 1").click()
    assert await page.locator('[name="groups.0.prices.0.amount"]').input_value() == "3"
    await page.get_by_label("Price model").select_option("bps")
    await page.get_by_role("button", name="Show its fields").click()
    assert await page.get_by_label("Per cent").is_visible()
    await page.get_by_label("Price model").select_option("bulk")
    await page.get_by_role("button", name="Show its fields").click()
    assert await page.locator('[name="groups.0.prices.0.amount"]').input_value() == "3"


async def test_a_saved_price_is_a_version(writer):
    """The page of the product shows the new rows, and the former ones below; the curve is there before any change."""
    page, stage = writer.page, writer.stage
    one = await a_product(stage)
    await writer.open(f"/products/{one.id}")
    await page.get_by_role("link", name="Edit prices").click()
    assert await page.locator(".mark").count() > 3
    await page.locator('[name="groups.0.prices.1.amount"]').fill("4500")
    await page.locator('[name="groups.0.prices.1.to"]').fill("5")
    await page.get_by_role("button", name="Save the price").click()
    assert "must be greater than 10" in await page.locator('[id="groups.0.prices.1.to-error-1"]').inner_text()
    await page.locator('[name="groups.0.prices.1.to"]').fill("50")
    await page.get_by_role("button", name="Save the price").click()
    await expect(page.locator("h1")).to_have_text("Calls")
    assert "€45.00" in await page.locator(".price > .scroll").inner_text()
    await page.get_by_text("1 former version").click()
    assert "€40.00" in await page.locator(".former").inner_text()
    (kept_one,) = await kept(stage)
    assert kept_one.configurations[0].group.prices[2]["amount"] == Decimal("0.25")


@pytest.mark.parametrize(
    ("currency", "rows", "marks"),
    [
        ("JPY", [{"type": "fee", "amount": 1_200}], {"0: ¥1,200", "100: ¥1,200"}),
        ("KWD", [{"type": "bundle", "amount": 2_500, "unit_count": 20}], {"just over 0: KWD\u00a02.500"}),
        ("EUR", [{**row, "type": "bulk"} for row in TIERS], {"10: €500.00", "just over 10: €400.00"}),
    ],
)
async def test_amounts_have_the_decimals_of_their_currency(writer, currency, rows, marks):
    """On the curve, its axis and in the table."""
    kind = {"fee": "flat_fee", "bundle": "bundle"}.get(rows[0]["type"], "dynamic")
    one = await a_product(writer.stage, rows=rows, kind=kind, currency=currency)
    await writer.open(f"/products/{one.id}/prices/{one.configurations[0].id}")
    assert marks <= set(await writer.page.locator(".mark > title").all_text_contents())


async def test_points_are_read_by_keyboard(writer):
    """A point that has the focus shows its words."""
    one = await a_product(writer.stage)
    await writer.open(f"/products/{one.id}/prices/{one.configurations[0].id}")
    mark = writer.page.locator(".mark").nth(2)
    assert not await mark.locator("text").is_visible()
    await mark.focus()
    assert await mark.locator("text").is_visible()


async def test_who_may_only_read_sees_no_way_to_write(visitor):
    """No buttons; and what is sent all the same is refused."""
    one = await a_product(visitor.stage)
    await visitor.open("/products")
    assert await visitor.page.get_by_role("link", name="New product").count() == 0
    price = f"/products/{one.id}/prices/{one.configurations[0].id}"
    for path in ("/products/new", price):
        assert await visitor.open(path) == 403
        answer = await visitor.page.request.post(visitor.stage.address + path, form={"do": "save"})
        assert answer.status == 403


async def test_a_forged_form_changes_nothing(writer):
    """Without the session's token, or from elsewhere."""
    url = writer.stage.address + "/products/new"
    await writer.open("/products/new")
    token = await writer.page.locator("main [name=token]").input_value()
    for form, headers in (({}, {}), ({"token": "0" * 64}, {}), ({"token": token}, {"Origin": "https://evil.test"})):
        answer = await writer.page.request.post(url, form={**form, "do": "save"}, headers=headers)
        assert answer.status == 403
    assert await kept(writer.stage) == []


async def test_other_worlds_are_walled_off(writer):
    """A price is not reached through another product, and nothing that is not there answers 500."""
    one, other = await a_product(writer.stage), await a_product(writer.stage, name="Other")
    for path in (
        f"/products/{one.id}/prices/{other.configurations[0].id}",
        "/products/itm_none",
        "/products/%2e%2e%2f",
    ):
        assert await writer.open(path) == 404


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_the_pages_of_products_fit(stage, chromium, tmp_path, width, scheme):
    """Filled, empty and hostile: nothing sticks out, text has contrast, fields have labels; with pictures."""
    _, secret = await stage.key(Scope.READ, Scope.WRITE)
    async with visiting(chromium, stage, width, scheme) as visitor:
        await visitor.sign_in(secret)
        assert await visitor.open("/products") == 200
        assert "curl" in await visitor.text()
        one = await a_product(stage, HOSTILE + "W" * 150)
        two = await a_product(stage, rows=[{**row, "type": "bulk"} for row in TIERS], countries=["FR", "DE"])
        price = f"/products/{two.id}/prices/{two.configurations[0].id}"
        for path in ("/products", "/products/new", f"/products/{one.id}", f"/products/{two.id}", price):
            assert await visitor.open(path) == 200
            assert await visitor.overflow() <= 0, path
            assert await visitor.page.evaluate(WEAK_TEXTS) == [], path
            fields = "[...document.querySelectorAll('input:not([type=hidden]), select')]"
            assert await visitor.page.evaluate(f"{fields}.filter(field => !field.labels.length).length") == 0
            uncaptioned = "[...document.querySelectorAll('main table')].filter(table => !table.caption).length"
            assert await visitor.page.evaluate(uncaptioned) == 0
            name = re.sub(r"\W+", "-", path.replace(one.id, "hostile").replace(two.id, "product"))
            await visitor.page.screenshot(path=tmp_path / f"{name[:40]}-{width}-{scheme}.png", full_page=True)
        if width == DESK:
            assert await visitor.page.locator(".chart .curve").count() > 3
