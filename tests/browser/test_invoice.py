"""The page of an open invoice: each line opens into its events, and visibly adds up."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from tests.browser.shop import sell, selling, subscribed
from tests.browser.stage import NOW
from tests.browser.test_hostile_text import PAYLOADS
from tests.browser.visitor import DESK, PHONE, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

EARLY = datetime(2026, 11, 2, tzinfo=UTC)
EVENTS = 120


async def sold(stage, client, events=EVENTS, name="Seats"):
    """Seats by tiers with an agreed minimum, calls at a fraction of a cent, and a greatest value; give the customer."""
    async with selling(stage, client) as made:
        thirds = [{"type": "volume", "from": 0, "to": None, "amount": 1, "unit_count": 3}]
        products = [
            await sell(made, name=name, terms={"min_amount": 500_000}),
            await sell(made, name="Calls", rows=thirds, operation="count", prop=None),
            await sell(made, name="Peak", operation="max"),
        ]
        customer = await subscribed(made, *products, name=name)
    await stage.send(
        *(
            {
                "event_type": "seat",
                "timestamp": EARLY + timedelta(minutes=number),
                "record": {"id": f"seat {number:03}", "n": 1 if number % 2 else 0.5},
            }
            for number in range(events)
        )
    )
    return customer


async def open_line(visitor, name):
    await visitor.page.locator("main").get_by_role("link", name=name, exact=True).first.click()


async def opened_invoice(visitor, customer, line):
    """Go from the customer's page to a line of its invoice."""
    await visitor.open(f"/customers/{customer['id']}")
    await open_line(visitor, line)


def number(text):
    return Decimal(text.replace(",", "").replace("\N{MINUS SIGN}", "-"))


async def columns(visitor):
    """Give the exact and the rounded amounts of each row, and those of the line."""
    table = visitor.page.locator("table.adds-up")
    rows = [
        [number(text) for text in (await row.locator("td").all_inner_texts())[-2:]]
        for row in await table.locator("tbody tr").all()
    ]
    total = [number(text) for text in await table.locator("tfoot td").all_inner_texts()]
    return rows, total


@pytest.mark.parametrize("line", ["Seats", "Calls", "Peak"])
async def test_every_page_of_a_line_adds_up(visitor, client, line):
    """Events of the page, those on other pages, and what is owed beyond events: to the last decimal."""
    customer = await sold(visitor.stage, client)
    await opened_invoice(visitor, customer, line)
    seen = []
    while True:
        rows, total = await columns(visitor)
        assert [sum(column) for column in zip(*rows, strict=True)] == total
        seen += await visitor.page.locator("table.adds-up th.name a").all_inner_texts()
        following = visitor.page.get_by_role("link", name="Later")
        if not await following.count():
            break
        await following.click()
    assert seen == [f"seat {index:03}" for index in range(EVENTS)]
    said = await visitor.page.locator("tr.beyond").all_inner_texts()
    reasons = {"Seats": "Up to the agreed minimum", "Calls": "on other pages", "Peak": "on other pages"}
    assert any(reasons[line] in text for text in said)


async def test_an_event_says_what_it_adds_and_leads_to_its_versions(visitor, client):
    """The eleventh unit lies in the second tier; the row's link opens the versions."""
    customer = await sold(visitor.stage, client, 20)
    await visitor.stage.send(
        {"event_type": "seat", "timestamp": NOW, "record": {"id": "seat 000", "n": 2}},
    )
    await opened_invoice(visitor, customer, "Seats")
    row = visitor.page.locator("tr", has_text="seat 000")
    text = await row.inner_text()
    assert "over 10, up to 50: 2" in text
    await row.get_by_role("link", name="2 versions of seat 000").click()
    assert "/events/seat/seat%20000#versions" in visitor.page.url
    assert "Version 2" in await visitor.text()


async def test_an_invoice_is_read_as_of_then_and_as_of_now(visitor, client):
    """A link to the figures keeps them when more comes in; what cannot be read is said beside the field."""
    customer = await sold(visitor.stage, client, 4)
    await opened_invoice(visitor, customer, "Calls")
    await visitor.page.get_by_role("link", name="Link to these figures").click()
    kept = visitor.page.url
    await visitor.stage.send({"event_type": "seat", "timestamp": EARLY, "record": {"id": "late", "n": 1}})
    await visitor.page.goto(kept)
    assert "not now" in await visitor.text()
    assert await visitor.page.locator("table.adds-up th.name").count() == 4
    await visitor.page.get_by_role("link", name="As of now").click()
    assert await visitor.page.locator("table.adds-up th.name").count() == 5
    for text, said in (("yesterday", "is neither"), ("2099-01-01", "lies in the future"), ("<b>x</b>", "<b>x</b>")):
        await visitor.page.get_by_label("As of (UTC)").fill(text)
        await visitor.page.get_by_role("button", name="Show", exact=True).click()
        assert said in await visitor.page.get_by_role("alert").inner_text()
        assert await visitor.page.locator("table.adds-up th.name").count() == 5


async def test_files_hold_what_the_page_shows(visitor, client):
    """CSV and Parquet, of all lines and of one; they add up to the line too, at the cut-off of the page."""
    customer = await sold(visitor.stage, client, 30)
    await opened_invoice(visitor, customer, "Seats")
    _, total = await columns(visitor)
    section = visitor.page.locator("#line")
    links = {name: section.get_by_role("link", name=name) for name in ("CSV", "Parquet")}
    await visitor.stage.send({"event_type": "seat", "timestamp": EARLY, "record": {"id": "late", "n": 1_000}})
    files = {}
    for name, link in links.items():
        async with visitor.page.expect_download() as coming:
            await link.click()
        download = await coming.value
        assert download.suggested_filename.endswith(f".{name.lower()}")
        files[name] = await download.path()
    rows = list(csv.DictReader(io.StringIO(files["CSV"].read_text())))
    assert pq.read_table(files["Parquet"]).num_rows == len(rows) > 30
    assert sum(Decimal(row["amount"]) for row in rows) == total[1] * 100
    everything = visitor.page.locator("p", has_text="All events behind it").get_by_role("link", name="CSV")
    async with visitor.page.expect_download() as coming:
        await everything.click()
    whole = list(csv.DictReader(io.StringIO((await (await coming.value).path()).read_text())))
    assert len(whole) > 3 * 30


async def test_a_file_must_be_of_a_kind_and_of_an_invoice(visitor):
    """What cannot be written is a page that says so."""
    for path, status in (("/invoices/x/events", 400), ("/invoices/x/events?format=xls", 400)):
        assert await visitor.open(path) == status
    for path in ("/invoices/x/events?format=csv", "/invoices/x", "/invoices/%00", "/invoices/inv_" + "a" * 500):
        assert await visitor.open(path) == 404


@pytest.mark.parametrize(("width", "scheme"), [(PHONE, "light"), (DESK, "dark"), (PHONE, "dark"), (DESK, "light")])
async def test_the_invoice_fits(*, stage, chromium, client, tmp_path, width, scheme):
    """With long names and ids of any text, nothing sticks out; a picture is kept."""
    customer = await sold(stage, client, 3)
    await stage.send(*({"event_type": "seat", "timestamp": EARLY, "record": {"id": text, "n": 7}} for text in PAYLOADS))
    async with visiting(chromium, stage, width, scheme) as visitor:
        await visitor.sign_in()
        await opened_invoice(visitor, customer, "Seats")
        assert await visitor.overflow() <= 0
        assert await visitor.page.locator("main script, main img, main iframe").count() == 0
        assert await visitor.page.locator("table:not(:has(caption))").count() == 0
        await visitor.page.screenshot(path=tmp_path / f"invoice-{width}-{scheme}.png", full_page=True)


async def test_a_product_may_have_any_name(visitor, client):
    """It is shown as text, in the title too."""
    customer = await sold(visitor.stage, client, 1, name=PAYLOADS[4])
    await visitor.open(f"/customers/{customer['id']}")
    await visitor.page.locator(".invoice tbody a").first.click()
    assert PAYLOADS[4] in await visitor.page.locator("h2").inner_text()
