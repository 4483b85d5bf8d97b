"""Connected seats are read in the background, by the clock or when usage changed them; a change is written once."""

import asyncio
from datetime import UTC, datetime

import pytest

from billing.seats.refresher import SeatRefresher
from metering.store.chains import ChainStore
from tests.billing.api.test_seats_api import Office, amounts

REALTIME = {"seat_refresh_schedule": "realtime"}
DAILY = {"seat_refresh_schedule": "periodic", "seat_refresh_interval": {"period": "days", "count": 1}}


@pytest.fixture
def office(shop):
    return Office(shop)


@pytest.fixture
def another(registry, store, clock):
    """Make a refresher, as each process has one."""
    return lambda: SeatRefresher(registry, store, ChainStore(store).applied, clock)


@pytest.fixture
def refresher(another):
    return another()


def on(day, month=3, hour=12):
    return datetime(2026, month, day, hour, tzinfo=UTC)


async def written(office):
    return [(one["count"], one["reason"], one["effective_at"][:16]) for one in await office.updates()]


@pytest.mark.slow
async def test_realtime_seats_follow_usage(office, refresher, clock):
    """The first count is that of the start; others hold from when they are seen, and what stays writes nothing."""
    await office.open(**REALTIME, refund_on_decrease=True)
    await office.come(2)
    for _ in range(3):
        await refresher.refresh()
    clock.moment = on(22)
    await office.come(1)
    await refresher.refresh()
    clock.moment = on(22, hour=14)
    await office.go(2)
    await refresher.refresh()
    assert await written(office) == [
        (2, "realtime", "2026-03-01T00:00"),
        (3, "realtime", "2026-03-22T12:00"),
        (1, "realtime", "2026-03-22T14:00"),
    ]
    assert await office.billed() == [[6200, 1000, -2000]]


@pytest.mark.slow
async def test_what_was_not_noted_is_read_again_and_written_once(office, another, clock, monkeypatch):
    """A process dies after it has written and before it notes how far it looked; two others go on at once."""
    await office.open(**REALTIME)
    await another().refresh()
    clock.moment = on(21)
    await office.come(3)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("billing.seats.refresher.note_looked", die)
        with pytest.raises(KeyboardInterrupt):
            await another().refresh()
    clock.moment = on(23)
    await asyncio.gather(*(another().refresh() for _ in range(3)))
    assert await written(office) == [(3, "realtime", "2026-03-21T12:00")]


async def test_periodic_seats_are_read_at_the_end_of_each_interval(office, refresher, clock):
    """Not in between; what was missed is one reading, from the end of the last interval on."""
    await office.open(**DAILY)
    await office.come(1)
    await refresher.refresh()
    await office.come(1)
    clock.moment = on(20, hour=23)
    await refresher.refresh()
    assert await written(office) == [(1, "periodic", "2026-03-01T00:00")]
    clock.moment = on(22, hour=1)
    for _ in range(2):
        await refresher.refresh()
    assert (await written(office))[1:] == [(2, "periodic", "2026-03-22T00:00")]
    await office.come(1)
    answer = await office.refresh()
    assert answer.json[0]["next_refresh_date"] == "2026-03-23T00:00:00.000Z"
    clock.moment = on(23, hour=1)
    await refresher.refresh()
    assert len(await office.updates()) == 3


@pytest.mark.slow
async def test_a_month_refreshed_at_its_end_is_billed_by_its_first_count(office, refresher, clock):
    """The reading at the turn of the month is what the next one begins with: no line for a second of it."""
    interval = {"period": "months", "count": 1}
    await office.open(seat_refresh_schedule="periodic", seat_refresh_interval=interval)
    await office.come(1)
    await refresher.refresh()
    await office.come(2)
    clock.moment = datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC)
    await refresher.refresh()
    assert await office.billed() == [[9300], [3100]]


@pytest.mark.slow
async def test_seats_that_ended_are_read_no_more(office, refresher, clock):
    """Cancelled; and manual ones are never read by the clock."""
    await office.open(**DAILY)
    await refresher.refresh()
    await office.come(2)
    await office.shop.api.post(f"/v1/subscriptions/{office.subscription['id']}/cancel", {})
    clock.moment = on(25)
    for _ in range(2):
        await refresher.refresh()
    assert await office.updates() == []
    manual = await Office(office.shop).open()
    await manual.come(2)
    await refresher.refresh()
    assert await manual.updates() == []


@pytest.mark.slow
async def test_seats_that_cannot_be_counted_keep_nobody_waiting(office, refresher, clock):
    """An aggregator became a sum; it is put off, and read when it counts again."""
    await office.open(**DAILY)
    other = await Office(office.shop).open(**DAILY)
    path = f"/v1/aggregators/{office.aggregator['id']}"
    assert (await office.shop.api.put(path, {"operation": "sum", "property": "n"})).status == 200
    for each in (office, other):
        await each.come(1)
    await refresher.refresh()
    assert (await written(office), len(await written(other))) == ([], 1)
    assert (await office.shop.api.put(path, {"operation": "count", "property": None})).status == 200
    clock.moment = on(21)
    await refresher.refresh()
    assert [one["count"] for one in await office.updates()] == [1]
    assert sum(sum(amounts(one)) for one in await office.shop.invoices()) == 6200
