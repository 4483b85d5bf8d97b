"""Customers side by side, and usage by the values of a property."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from metering.aggregation import Operation
from tests.browser.test_hostile_text import PAYLOADS, with_texts
from tests.browser.visitor import DESK, PHONE, visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY = datetime(2025, 3, 3, 9, tzinfo=UTC)
LOOKS = [(width, scheme) for width in (PHONE, DESK) for scheme in ("light", "dark")]


async def furnish(stage):
    """Three customers, three days, and models; give the aggregator."""
    found = await stage.aggregator(name="Tokens", entity="call", operation=Operation.SUM, property="tokens")
    for number in range(3):
        await stage.customer(name=f"Customer {number}", external_id=f"c{number}")
    await stage.send(
        *(
            {
                "event_type": "call",
                "customer_id": f"c{number % 3}",
                "timestamp": DAY + timedelta(days=number // 3),
                "record": {"id": str(number), "tokens": 10 * (number + 1), "model": f"m{number % 2}"},
            }
            for number in range(9)
        )
    )
    return found


async def table(visitor, part="tbody"):
    rows = await visitor.page.locator(f"main table {part} tr").all()
    return [await row.locator("th, td:not(.bar-column)").all_inner_texts() for row in rows]


async def test_customers_are_compared_in_one_chart(visitor):
    """A line each, named in the legend; the table has the same figures; a window leads in and keeps the customers."""
    await furnish(visitor.stage)
    page = visitor.page
    await visitor.open("/?granularity=day")
    await page.get_by_role("link", name="Compare customers").click()
    assert "Choose up to 5 customers" in await visitor.text()
    for number, external_id in enumerate(("c2", "c0"), start=1):
        await page.get_by_label(f"Customer {number}").fill(external_id)
    await page.get_by_role("button", name="Show", exact=True).click()
    assert await page.locator(".chart .series").count() == 2
    assert await page.locator(".chart .series-1 circle").count() == 3
    legend = await page.locator(".series-legend li").all_inner_texts()
    assert [text.strip() for text in legend] == ["Customer 2 180", "Customer 0 120"]
    assert await page.locator("thead th").all_inner_texts() == ["Day", "Customer 2", "Customer 0"]
    assert await table(visitor) == [
        ["Mon 2025-03-03", "30", "10"],
        ["Tue 2025-03-04", "60", "40"],
        ["Wed 2025-03-05", "90", "70"],
    ]
    assert await table(visitor, "tfoot") == [["Whole range", "180", "120"]]
    await page.get_by_role("link", name="Tue 2025-03-04", exact=True).press("Enter")
    await page.wait_for_url("**granularity=hour**")
    assert ["2025-03-04 09:00 UTC", "60", "40"] in await table(visitor)
    await page.locator("a[rel=up]").click()
    assert ["Tue 2025-03-04", "60", "40"] in await table(visitor)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("customer=nobody", "No customer has the id"),
        ("&".join(f"customer=x{number}" for number in range(6)), "At most 5 customers"),
        ("customer=c0&granularity=hour&start_date=2000-01-01&end_date=2020-01-01", "windows"),
        ("customer=c0&start_date=never", "never"),
    ],
)
async def test_what_cannot_be_compared_is_said(visitor, query, said):
    """Beside the fields, with 400."""
    await furnish(visitor.stage)
    assert await visitor.open(f"/compare?{query}") == 400
    assert said in await visitor.page.get_by_role("alert").inner_text()


async def test_usage_by_the_values_of_a_property(visitor):
    """The greatest first, events without one named so, all of them below."""
    await furnish(visitor.stage)
    await visitor.stage.send({"event_type": "call", "timestamp": DAY, "record": {"id": "x", "tokens": 1}})
    await visitor.open("/?granularity=day")
    await visitor.page.get_by_role("link", name="By a property").click()
    await visitor.page.get_by_label("Property").fill("model")
    await visitor.page.get_by_role("button", name="Show", exact=True).click()
    assert await table(visitor) == [["m0", "5", "250"], ["m1", "4", "200"], ["no value", "1", "1"]]
    assert await table(visitor, "tfoot") == [["All of them", "10", "451"]]
    await visitor.page.get_by_label("Customer").fill("c0")
    await visitor.page.get_by_role("button", name="Show", exact=True).click()
    assert await table(visitor, "tfoot") == [["All of them", "3", "120"]]


async def test_a_value_leads_to_its_events(visitor):
    """To just those that were counted, the filter kept with the others; an id leads to its event."""
    await furnish(visitor.stage)
    texts = {"spaced": " m0 ", "empty": "", "listed": ["m0"], "absent": None}
    events = [
        {"event_type": "call", "timestamp": DAY, "record": {"id": name, "model": text, "tokens": 1}}
        for name, text in texts.items()
    ]
    await visitor.stage.send(*events)
    for ending, count in (("value=m0", 5), ("value=+m0+", 1), ("value=", 1), ("property=model", 2)):
        await visitor.open("/values?property=model&granularity=day&start_date=2025-03-01&end_date=2025-04-01")
        await visitor.page.locator(f'th a[href$="&{ending}"]').press("Enter")
        await visitor.page.wait_for_url("**/events?**")
        assert await visitor.page.locator("table.events tbody tr").count() == count, ending
        await visitor.page.get_by_role("button", name="Show", exact=True).click()
        await visitor.page.wait_for_load_state()
        assert await visitor.page.locator("table.events tbody tr").count() == count, ending
    await visitor.open("/values?property=id")
    await visitor.page.locator("table tbody th").get_by_role("link", name="8", exact=True).press("Enter")
    await visitor.page.wait_for_url("**/events/call/8")


async def test_values_beyond_those_shown_are_one_row(visitor, monkeypatch):
    """It adds up with them; too many to be grouped are refused in words."""
    monkeypatch.setattr("deploy.pages.values.VALUES_SHOWN_MAX", 2)
    await furnish(visitor.stage)
    await visitor.open("/values?property=id")
    assert await table(visitor) == [["8", "1", "90"], ["7", "1", "80"], ["7 other values", "7", "280"]]
    monkeypatch.setattr("metering.store.usage.VALUES_GROUPED_MAX", 2)
    assert await visitor.open("/values?property=id") == 400
    assert "choose a shorter range" in await visitor.page.get_by_role("alert").inner_text()
    assert await visitor.open("/values?property=" + "x" * 300) == 400


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_both_fit(stage, chromium, tmp_path, width, scheme):
    """At both widths and in both themes, with and without data; a picture of each is kept."""
    async with visiting(chromium, stage, width, scheme) as visitor:
        await visitor.sign_in()
        for path in ("/compare", "/values"):
            assert await visitor.open(path) == 200
            assert "No events yet" in await visitor.text()
        await furnish(stage)
        paths = {"compare": "/compare?customer=c0&customer=c1&customer=c2", "values": "/values?property=model"}
        for name, path in paths.items():
            assert await visitor.open(path) == 200
            assert await visitor.overflow() <= 0
            assert await visitor.page.locator("table:not(:has(caption))").count() == 0
            await visitor.page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)


async def test_text_stays_text_in_both(stage, chromium):
    """Names, properties and values of any text, on a phone."""
    customers = await with_texts(stage, PAYLOADS)
    async with visiting(chromium, stage, PHONE) as visitor:
        await visitor.sign_in()
        for first, second, text in zip(customers, customers[1:], PAYLOADS, strict=False):
            show = quote(f"events:{text}")
            paths = (f"/compare?show={show}&customer={first.id}&customer={second.id}", f"/values?show={show}&property=")
            for path in (paths[0], paths[1] + quote(text), paths[1] + "long"):
                assert await visitor.open(path) == 200, path
                assert await visitor.overflow() <= 0, path
                assert await visitor.page.locator("main script, main img, main iframe, main style").count() == 0
