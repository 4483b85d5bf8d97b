"""The explorer, and one event with its versions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from deploy.pages.lists import ROWS
from ingest.prices.kept import KeptPrices, keep_prices
from metering.ids import new_id
from metering.world import Mode, World
from tests.browser.stage import NOW

pytestmark = pytest.mark.asyncio(loop_scope="session")

T0 = datetime(2026, 11, 18, 12, tzinfo=UTC)


def an_event(record_id="r1", **fields):
    record = {"id": record_id, **fields.pop("record", {})}
    return {"timestamp": T0, "record": record, **fields}


async def listed(visitor):
    return await visitor.page.locator("table.events .id").all_inner_texts()


async def test_events_are_listed_newest_first(visitor):
    """The list begins with the latest timestamp and shows each record at a glance."""
    await visitor.stage.send(
        an_event("old"), an_event("new", timestamp=T0 + timedelta(hours=1), record={"size": 5, "code": "5", "on": True})
    )
    await visitor.open("/events")
    assert await listed(visitor) == ["new", "old"]
    assert await visitor.page.locator(".preview").first.inner_text() == 'code "5" · on true · size 5'


@pytest.mark.parametrize(
    ("label", "value", "found"),
    [
        ("Event type", "storage", ["c"]),
        ("Customer", "globex", ["b"]),
        ("Record id", "a", ["a"]),
        ("From (UTC)", "2026-11-18 13:30", ["c"]),
        ("Until, not included (UTC)", "2026-11-18 13:00", ["a"]),
        ("Customer", "nobody", []),
    ],
)
async def test_filters(visitor, label, value, found):
    """Each field narrows the list, and what was entered stays there."""
    await visitor.stage.send(
        an_event("a"),
        an_event("b", customer_id="globex", timestamp=T0 + timedelta(hours=1)),
        an_event("c", event_type="storage", timestamp=T0 + timedelta(hours=2)),
    )
    await visitor.open("/events")
    await visitor.page.get_by_label(label, exact=True).fill(value)
    await visitor.page.get_by_role("button", name="Show").click()
    assert await listed(visitor) == found
    assert await visitor.page.get_by_label(label, exact=True).input_value() == value
    if not found:
        assert "No event meets these filters" in await visitor.text()


async def test_a_bad_date_is_explained(visitor):
    """The remedy stands beside it."""
    await visitor.stage.send(an_event())
    assert await visitor.open("/events?start_date=soon") == 400
    assert "is no date: send" in await visitor.page.get_by_role("alert").inner_text()


async def test_long_lists_are_leafed_through(visitor):
    """Each page has so many rows; filters stay while leafing."""
    await visitor.stage.send(*(an_event(f"r{n:03}", timestamp=T0 + timedelta(seconds=n)) for n in range(ROWS + 3)))
    await visitor.open("/events?event_type=api_call")
    assert len(await listed(visitor)) == ROWS
    assert "1 to 50 of 53" in await visitor.text()
    await visitor.page.get_by_role("link", name="Older").click()
    assert await listed(visitor) == ["r002", "r001", "r000"]
    assert "event_type=api_call" in visitor.page.url
    await visitor.page.get_by_role("link", name="Newer").click()
    assert len(await listed(visitor)) == ROWS


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "200"])
async def test_a_page_that_is_not_there_is_harmless(visitor, page):
    """Nothing that is put into the address breaks the list."""
    await visitor.stage.send(an_event())
    assert await visitor.open(f"/events?page={page}") == 200


async def test_versions_show_what_changed(visitor):
    """Of each version the page says what became of it, and marks what differs from the one before."""
    await visitor.stage.send(an_event("r1", record={"size": 5, "note": "first"}, received_at=T0))
    await visitor.stage.send(
        an_event("r1", timestamp=T0 + timedelta(minutes=5), record={"size": "5", "plan": "pro"}, received_at=NOW)
    )
    await visitor.stage.send(an_event("r1", timestamp=T0 + timedelta(minutes=1), record={"size": 9}, received_at=NOW))
    await visitor.open("/events")
    await visitor.page.get_by_role("link", name="r1").click()
    versions = visitor.page.locator(".version")
    assert await versions.count() == 3
    late, current, first = [await versions.nth(place).inner_text() for place in range(3)]
    assert "Version 3" in late
    assert "came too late: version 2 has a later timestamp" in late
    assert "current" in current
    assert "replaced by version 2" in first

    async def marked(kind):
        return await versions.nth(1).locator(f"tr.{kind} th").all_inner_texts()

    assert await marked("changed") == ["timestamp", "record.size"]
    assert await marked("added") == ["record.plan"]
    assert await marked("removed") == ["record.note"]
    assert await marked("same") == ["customer_id", "record.id"]
    size = await versions.nth(1).locator("tr.changed", has_text="record.size").inner_text()
    assert "number" in size
    assert "text" in size


async def test_a_deleted_event_is_still_explained(visitor):
    """It is in no list, and its page tells that it was deleted."""
    await visitor.stage.send(an_event("gone"), an_event("kept"))
    await visitor.stage.delete("api_call", "gone")
    await visitor.open("/events")
    assert await listed(visitor) == ["kept"]
    assert await visitor.open("/events/api_call/gone") == 200
    assert "This event was deleted and is in no figure" in await visitor.text()
    assert "deleted" in await visitor.page.locator(".version-head").inner_text()


@pytest.mark.parametrize("name", ["a/b", "..", ".", "50%", "a?b#c", "a b", "é/ü", "%2F", "\\", "&amp;"])
async def test_any_id_can_be_opened(visitor, name):
    """Slashes, dots and percent signs in a type or an id lead to that event, from the list by a click."""
    await visitor.stage.send(an_event(name, event_type=name))
    await visitor.open("/events")
    await visitor.page.locator("table.events .id a").click()
    assert await visitor.page.locator("h1 bdi").inner_text() == name
    assert await visitor.page.locator(".version").count() == 1


async def test_an_event_that_is_not_there(visitor):
    """404, in the frame of the pages, with a way on."""
    assert await visitor.open("/events/api_call/none") == 404
    assert "There is no event of the type" in await visitor.text()
    assert await visitor.page.get_by_role("link", name="Customers").is_visible()


async def test_no_page_shows_another_world(visitor):
    """An event and a customer of another account answer as if they were not there."""
    stage = visitor.stage
    own = stage.world
    stage.world = World(new_id("acc"), Mode.TEST)
    await stage.registry.write(
        lambda connection: connection.exec_driver_sql(
            "INSERT INTO accounts (id, name, created_at) VALUES (?, 'Other', 0)", (stage.world.account_id,)
        )
    )
    await stage.send(an_event("secret", event_type="hidden", customer_id="spy"))
    foreign = await stage.customer(name="Foreign", external_id="foreign")
    stage.world = own
    for path in ("/events/hidden/secret", "/customers/spy", f"/customers/{foreign.id}"):
        assert await visitor.open(path) == 404
    for path in ("/", "/events", "/events?record_id=secret", "/customers", "/customers?search=Foreign"):
        await visitor.open(path)
        assert not {"hidden", "spy", "Foreign"} & set((await visitor.text()).split())


async def test_an_event_shows_what_it_costs_where_that_was_asked_for(visitor):
    """With all its digits, by product and group; an event whose price nobody asked for shows no such section."""
    await visitor.stage.send(an_event("priced"), an_event("other"))
    price = {"customer_id": "cus_1", "subscription_id": "sub_1", "product_id": "itm_gone", "currency": "EUR"}
    price |= {"price_group": {"id": "grp_1", "name": "visa"}, "amount_excluding_tax": Decimal("-1234.5")}
    kept = KeptPrices("cal_1", "api_call", "priced", T0, {"id": "priced"}, [price], "c1", NOW)
    await visitor.stage.registry.write(keep_prices, visitor.stage.world, kept)
    await visitor.open("/events/api_call/priced")
    (row,) = await visitor.page.get_by_label("Price").locator("tbody tr").all_inner_texts()
    assert row.split("\t")[1:] == ["itm_gone visa", "\N{MINUS SIGN}12.345 EUR"]
    await visitor.open("/events/api_call/other")
    assert await visitor.page.get_by_label("Price").count() == 0
