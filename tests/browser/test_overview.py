"""The chart: it opens where the data is, shows what is asked for, and explains itself."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.consumer.lag import Lag
from ingest.errors import LogCorruptError, LogUnavailableError
from metering.aggregation import Operation
from metering.errors import StoreUnavailableError
from tests.browser.stage import NOW
from tests.browser.visitor import visiting

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARCH = datetime(2025, 3, 3, 9, 30, tzinfo=UTC)


async def tokens(stage):
    return await stage.aggregator(
        name="Tokens", entity="api_call", operation=Operation.SUM, property="tokens", unit_name="tokens"
    )


def calls(*pairs, customer_id="acme"):
    return [
        {
            "timestamp": when,
            "customer_id": customer_id,
            "record": {"id": f"{customer_id}-{when:%m%dT%H%M%S}", "tokens": n},
        }
        for when, n in pairs
    ]


async def bars(visitor):
    """Give the titles of the bars that stand for something."""
    return await visitor.page.locator(".chart a:has(.value) title").all_text_contents()


async def tile(visitor, name):
    return await visitor.page.locator(".tiles > div", has=visitor.page.get_by_text(name, exact=True)).inner_text()


async def test_the_chart_opens_where_the_data_is(visitor):
    """Data of a March long past is seen without choosing a date, with its sum and until when it is complete."""
    await tokens(visitor.stage)
    await visitor.stage.send(
        *calls((MARCH, 1_000_000), (MARCH + timedelta(days=20), 250_000), (MARCH + timedelta(days=40), 5))
    )
    await visitor.open("/")
    assert await bars(visitor) == [
        "Mon 2025-03-03: 1,000,000 tokens, from 1 event",
        "Sun 2025-03-23: 250,000 tokens, from 1 event",
        "Sat 2025-04-12: 5 tokens, from 1 event",
    ]
    assert "1,250,005" in await tile(visitor, "Tokens")
    assert "3 Mar 2025 to 12 Apr 2025" in await tile(visitor, "Tokens")
    assert "As of 2026-11-21 13:49:53 UTC" in await visitor.text()


async def test_the_granularity_follows_the_span_of_the_data(visitor):
    """Hours for a day or two, days for weeks, months for years; and each can be chosen."""
    chosen = visitor.page.get_by_label("By", exact=True)
    await visitor.stage.send(*calls((MARCH, 1)))
    await visitor.open("/")
    assert await chosen.input_value() == "hour"
    await visitor.stage.send(*calls((MARCH + timedelta(days=30), 1)))
    await visitor.open("/")
    assert await chosen.input_value() == "day"
    await visitor.stage.send(*calls((MARCH + timedelta(days=300), 1)))
    await visitor.open("/")
    assert await chosen.input_value() == "month"
    assert await bars(visitor) == ["Mar 2025: 1", "Apr 2025: 1", "Dec 2025: 1"]
    await chosen.select_option("day")
    await visitor.page.get_by_role("button", name="Show").click()
    assert "by day" in await visitor.page.locator("#chart-title").inner_text()


async def test_one_event_with_a_wrong_year_hides_nothing(visitor):
    """Of data over many years, the stretch with most events is shown."""
    await visitor.stage.send(*calls(*((MARCH + timedelta(hours=hour), 1) for hour in range(5))))
    await visitor.stage.send(*calls((datetime(1981, 1, 1, tzinfo=UTC), 1), (datetime(2099, 1, 1, tzinfo=UTC), 1)))
    await visitor.open("/")
    assert await bars(visitor) == ["Mar 2025: 5"]


async def test_a_customer_is_chosen_by_either_id(visitor):
    """Usage under the external id is the customer's, whichever id is asked for."""
    acme = await visitor.stage.customer(name="Acme", external_id="acme")
    await tokens(visitor.stage)
    await visitor.stage.send(*calls((MARCH, 7)), *calls((MARCH, 100), customer_id="other"))
    for identifier in (acme.id, "acme"):
        await visitor.open("/")
        await visitor.page.get_by_label("Customer").fill(identifier)
        await visitor.page.get_by_role("button", name="Show").click()
        assert await bars(visitor) == ["2025-03-03 09:00 UTC: 7 tokens, from 1 event"]
        assert "Acme" in await visitor.page.locator("#chart-title").inner_text()


async def test_days_are_those_of_the_zone(visitor):
    """An event late on Sunday in New York is Monday's in UTC."""
    late = datetime(2025, 3, 3, 2, tzinfo=UTC)
    await visitor.stage.send(*calls((late, 1)))
    await visitor.open("/?granularity=day")
    assert await bars(visitor) == ["Mon 2025-03-03: 1"]
    await visitor.open("/?granularity=day&timezone=America/New_York")
    assert await bars(visitor) == ["Sun 2025-03-02: 1"]


async def test_a_bar_leads_to_the_events_it_counted(visitor):
    """The list behind a bar has the events of its window that the aggregator counts, no others."""
    where = {"conditional": "and", "fields": [{"property": "tokens", "operator": "gt", "value": 10}]}
    await visitor.stage.aggregator(name="Big", entity="api_call", operation=Operation.COUNT, property=None, where=where)
    await visitor.stage.send(*calls((MARCH, 5), (MARCH + timedelta(minutes=1), 50), (MARCH + timedelta(hours=3), 60)))
    await visitor.open("/?granularity=hour")
    assert await bars(visitor) == ["2025-03-03 09:00 UTC: 1", "2025-03-03 12:00 UTC: 1"]
    await visitor.page.locator(".chart a:has(.value) .column").first.click()
    assert await visitor.page.locator("table.events tbody tr").count() == 1
    assert "acme-0303T093100" in await visitor.text()


async def test_the_table_says_what_the_bars_say(visitor):
    """Every window is a row, zeros included, and the whole stands below."""
    await tokens(visitor.stage)
    await visitor.stage.send(*calls((MARCH, 3), (MARCH + timedelta(days=10), 4)))
    await visitor.open("/?granularity=day")
    await visitor.page.get_by_text("Figures as a table").click()
    rows = visitor.page.locator("details table tbody tr")
    assert await rows.count() == 11
    assert await rows.first.inner_text() == "Mon 2025-03-03\t1\t3"
    assert (await visitor.page.locator("details tfoot").inner_text()).split("\t") == ["Whole range", "2", "7"]


async def test_figures_keep_all_their_digits(visitor):
    """No float comes between the sum and the page."""
    await tokens(visitor.stage)
    await visitor.stage.send(*calls((MARCH, "99999999999999999999.000000000000000001")))
    await visitor.open("/")
    assert "99,999,999,999,999,999,999.000000000000000001" in await tile(visitor, "Tokens")


async def test_without_an_aggregator_events_are_counted(visitor):
    """Something is seen at once, and the way to count what is billed is shown."""
    await visitor.stage.send(*calls((MARCH, 1), (MARCH + timedelta(hours=1), 1)))
    await visitor.open("/")
    assert await bars(visitor) == ["2025-03-03 09:00 UTC: 1", "2025-03-03 10:00 UTC: 1"]
    assert "/v1/aggregators" in await visitor.text()


async def test_values_that_are_no_numbers_are_told(visitor):
    """An event whose property cannot be added adds 0, and the page says so."""
    await tokens(visitor.stage)
    await visitor.stage.send(*calls((MARCH, 3), (MARCH + timedelta(hours=1), "many")))
    await visitor.open("/")
    assert "1 of these events hold no number in tokens" in await visitor.text()


async def test_the_window_that_is_not_over_is_marked(visitor):
    """The present hour may still grow."""
    await visitor.stage.send(*calls((NOW - timedelta(minutes=10), 1), (NOW - timedelta(hours=3), 1)))
    await visitor.open("/")
    assert await visitor.page.locator(".chart a.open title").text_content() == "2026-11-21 13:00 UTC: 1"
    assert "may still grow" in await visitor.text()


async def test_rate_and_lag_are_shown(visitor):
    """What comes in, and what is accepted and not counted yet."""
    await visitor.stage.send(
        *({**call, "received_at": NOW - timedelta(seconds=30)} for call in calls((MARCH, 1), (NOW, 1)))
    )
    visitor.stage.lag = Lag(1_234, NOW - timedelta(minutes=2), 95_000)
    await visitor.open("/")
    assert "2 in the last hour" in await tile(visitor, "Coming in, all types")
    assert "1,234" in await tile(visitor, "Not in the figures yet")
    assert "the oldest for 1 minute" in await tile(visitor, "Not in the figures yet")
    assert "1,234 behind" in await visitor.page.locator(".as-of").inner_text()


@pytest.mark.parametrize("kind", [StoreUnavailableError, LogUnavailableError, LogCorruptError])
async def test_an_unknown_lag_breaks_nothing(visitor, kind):
    """The log may be away; figures are still shown, with the moment they are known to be of."""
    await visitor.stage.send(*calls((MARCH, 1)))
    visitor.stage.lag = kind("away")
    assert await visitor.open("/") == 200
    assert "unknown" in await tile(visitor, "Not in the figures yet")
    assert "As of 2026-11-21" in await visitor.text()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("customer=nobody", "No customer has the id “nobody”"),
        ("timezone=Mars/Olympus", "is no time zone"),
        ("start_date=2025-03-09&end_date=2025-03-01", "is not before"),
        ("start_date=yesterday&end_date=2025-03-01", "is no date"),
        ("start_date=2000-01-01&end_date=2026-01-01&granularity=hour", "more than 800 windows"),
    ],
)
async def test_a_wrong_choice_is_explained_and_kept(visitor, query, said):
    """The page says which field is wrong and shows what was entered, so that it can be put right."""
    await visitor.stage.send(*calls((MARCH, 1)))
    assert await visitor.open(f"/?{query}") == 400
    assert said in await visitor.page.get_by_role("alert").first.inner_text()
    name, _, value = query.split("&")[0].partition("=")
    assert await visitor.page.locator(f"[name={name}]").input_value() == value


async def test_an_aggregator_that_is_gone_is_replaced(visitor):
    """An old link still shows something, and says that it is something else."""
    await visitor.stage.send(*calls((MARCH, 1)))
    assert await visitor.open("/?show=agg_gone") == 200
    assert "no such aggregator any more" in await visitor.text()


async def test_everything_works_without_scripts(stage, chromium):
    """There are none."""
    await stage.send(*calls((MARCH, 1)))
    async with visiting(chromium, stage, scripts=False) as visitor:
        await visitor.sign_in()
        await visitor.page.get_by_label("By", exact=True).select_option("day")
        await visitor.page.get_by_role("button", name="Show").click()
        assert await bars(visitor) == ["Mon 2025-03-03: 1"]
        assert await visitor.page.locator("script").count() == 0
