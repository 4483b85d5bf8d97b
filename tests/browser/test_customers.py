"""The customers, and what they owe so far."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.errors import AmountTooLargeError
from billing.invoices.model import Invoice
from billing.pricing import Adjustment, RatedTier
from billing.pricing.rated import AdjustmentKind
from metering.aggregation import Operation
from metering.errors import StoreUnavailableError
from tests.browser.stage import NOW, a_line, an_invoice

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def row_of(visitor, name):
    return await visitor.page.locator("tbody tr", has_text=name).inner_text()


async def test_customers_are_listed_with_what_is_open(visitor):
    """Names, ids, currency and the open amounts, one for each currency."""
    stage = visitor.stage
    acme = await stage.customer(name="Acme", external_id="ext-acme", currency="EUR")
    await stage.customer(name="Globex", external_id="ext-globex")
    stage.invoices = [an_invoice(acme.id), an_invoice(acme.id), an_invoice(acme.id, currency="JPY")]
    await visitor.page.get_by_role("link", name="Customers").click()
    row = await row_of(visitor, "Acme")
    for part in ("ext-acme", acme.id, "EUR", "3", "€5,115.00", "¥255,750"):
        assert part in row
    assert "€" not in await row_of(visitor, "Globex")


async def test_customers_made_by_events_are_there_too(visitor):
    """An id that only events know is listed and marked."""
    await visitor.stage.send({"customer_id": "walk-in", "record": {"id": "1"}})
    await visitor.open("/customers")
    assert "from events" in await row_of(visitor, "walk-in")


async def test_customers_are_found_by_any_part(visitor):
    """By name or id, in any case; signs that mean something to the database mean nothing here."""
    for number, name in enumerate(("Acme", "100% Foods", "Under_score")):
        await visitor.stage.customer(name=name, external_id=f"ext-{number}")
    for search, found in (("ACM", 1), ("ext-1", 1), ("% f", 1), ("r_S", 1), ("%e", 0), ("ext-", 3), ("zzz!", 0)):
        await visitor.open("/customers")
        await visitor.page.get_by_label("Name, id or external id").fill(search)
        await visitor.page.get_by_role("button", name="Find").click()
        assert await visitor.page.locator("tbody tr").count() == found, search
    assert "No customer matches “zzz!”" in await visitor.text()


async def test_an_invoice_shows_its_lines_and_tiers(visitor):
    """Units and money of every tier are there, and the credit counts against the total."""
    acme = await visitor.stage.customer(name="Acme", external_id="acme", currency="EUR")
    visitor.stage.invoices = [an_invoice(acme.id)]
    await visitor.open("/customers/acme")
    invoice = visitor.page.locator(".invoice")
    assert "1 Nov 2026 to 30 Nov 2026" in await invoice.inner_text()
    rows = [row.split("\t") for row in await invoice.locator("tbody tr").all_inner_texts()]
    assert rows == [
        ["API calls", "63.5", "€2,370.00"],
        ["up to 10", "10", "€500.00"],
        ["over 10, up to 50", "40", "€1,600.00"],
        ["over 50", "13.5", "€270.00"],
        ["Platform fee", "1", "€200.00"],
        ["Returned seats credit", "2", "\N{MINUS SIGN}€12.50"],
    ]
    assert "€2,557.50" in await invoice.locator("tfoot").inner_text()


async def test_clamps_are_named(visitor):
    """What a minimum adds stands as a part of its line."""
    acme = await visitor.stage.customer(name="Acme", external_id="acme")
    tier = RatedTier(Decimal(0), None, Decimal(1), 1_000)
    line = a_line("Calls", 5_000, "1", tier, Adjustment(AdjustmentKind.MINIMUM, 4_000))
    visitor.stage.invoices = [an_invoice(acme.id, lines=[line])]
    await visitor.open("/customers/acme")
    assert "up to the agreed minimum\t\t€40.00" in await visitor.page.locator(".invoice tbody").inner_text()


@pytest.mark.parametrize(
    ("currency", "text"),
    [("JPY", "¥1,234,567"), ("KWD", "KWD\N{NO-BREAK SPACE}1,234.567"), ("HUF", "HUF\N{NO-BREAK SPACE}12,345.67")],
)
async def test_money_has_the_digits_of_its_currency(visitor, currency, text):
    """By ISO 4217: none for the yen, three for the dinar, two for the forint."""
    acme = await visitor.stage.customer(name="Acme", external_id="acme")
    line = a_line("Fee", 1_234_567, "1", currency=currency)
    visitor.stage.invoices = [an_invoice(acme.id, currency=currency, lines=[line])]
    await visitor.open("/customers/acme")
    assert text in await visitor.page.locator(".invoice tfoot").inner_text()


async def test_usage_of_a_customer(visitor):
    """One row for each aggregator, in the month of the last event, zeros included."""
    stage = visitor.stage
    await stage.customer(name="Acme", external_id="acme", timezone="Europe/Paris")
    await stage.aggregator(
        name="Tokens", entity="api_call", operation=Operation.SUM, property="tokens", unit_name="tokens"
    )
    await stage.aggregator(name="Seats", entity="seat", operation=Operation.COUNT, property=None)
    march = datetime(2025, 3, 31, 22, 30, tzinfo=UTC)
    await stage.send(
        {"timestamp": march - timedelta(hours=2), "record": {"id": "1", "tokens": 5}},
        {"timestamp": march, "record": {"id": "2", "tokens": "0.25"}},
    )
    await visitor.open("/customers/acme")
    text = await visitor.text()
    assert "1 Apr 2025 to 30 Apr 2025, Europe/Paris" in text
    assert (await row_of(visitor, "Tokens")).split("\t")[2:] == ["1", "0.25", "tokens"]
    assert (await row_of(visitor, "Seats")).split("\t")[2:4] == ["0", "0"]
    await visitor.page.get_by_label("From").fill("2025-03-01")
    await visitor.page.get_by_role("button", name="Show").click()
    assert (await row_of(visitor, "Tokens")).split("\t")[2:] == ["2", "5.25", "tokens"]
    await visitor.page.locator("tbody tr", has_text="Tokens").get_by_role("link", name="2").click()
    assert await visitor.page.locator("table.events tbody tr").count() == 2


@pytest.mark.parametrize("reason", [StoreUnavailableError("away"), AmountTooLargeError("too large")])
async def test_invoices_that_cannot_be_worked_out_break_nothing(visitor, reason):
    """The rest of the page is there, and what is missing is said."""
    await visitor.stage.customer(name="Acme", external_id="acme")
    visitor.stage.invoices = reason
    for path in ("/customers", "/customers/acme"):
        assert await visitor.open(path) == 200
        assert "cannot be worked out at the moment" in await visitor.text()
        assert "Acme" in await visitor.text()


async def test_a_sum_that_is_not_whole_says_so(visitor):
    """More invoices than one page works out are counted and mentioned."""
    acme = await visitor.stage.customer(name="Acme", external_id="acme")
    visitor.stage.invoices, visitor.stage.invoices_left_out = [an_invoice(acme.id)], 70
    await visitor.open("/customers")
    assert "70 more open invoices" in await visitor.text()
    await visitor.open("/customers/acme")
    assert "70 more of older periods" in await visitor.text()


async def test_many_invoices_stay_readable(visitor):
    """The latest are open, the others a line each."""
    acme = await visitor.stage.customer(name="Acme", external_id="acme")
    visitor.stage.invoices = [an_invoice(acme.id) for _ in range(5)]
    await visitor.open("/customers/acme")
    assert await visitor.page.locator(".invoice").count() == 5
    assert await visitor.page.locator(".invoice[open]").count() == 2


async def test_a_customer_without_anything(visitor):
    """No events, no subscription: the page says what to do next."""
    await visitor.stage.customer(name="Acme", external_id="a/../..")
    assert await visitor.open("/customers/a%2F..%2F..") == 200
    text = await visitor.text()
    assert "/v2/subscriptions" in text
    assert "Nothing is counted yet" in text
    assert f"{NOW:%Y-%m}-01" in text


async def test_a_customer_that_is_not_there(visitor):
    """404, in the frame of the pages."""
    assert await visitor.open("/customers/nobody") == 404
    assert "No customer has the id “nobody”" in await visitor.text()


async def test_the_stages_invoices_are_billings_own():
    """The pages show what billing makes, not a copy of it."""
    assert isinstance(an_invoice("cus_1"), Invoice)
