"""Connected seats over HTTP: counts that are read from usage, and what open invoices make of them."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.seats.refresh import Reading
from billing.seats.registry import write_refresh
from billing.subscriptions.registry import find_subscription
from billing.subscriptions.seats import RefreshSchedule
from metering.position import Cutoff, pack
from metering.registry.engine import Registry

MONTH, YEAR = {"period": "months", "count": 1}, {"period": "years", "count": 1}
MANUAL = {"seat_refresh_schedule": "manual"}


def volume(amount):
    return [{"type": "volume", "from": 0, "to": None, "amount": amount}]


def amounts(invoice):
    """Give the signed amounts of the lines."""
    return [line["amount"] * (-1 if line["entry_type"] == "credit" else 1) for line in invoice["line_items"]]


class Office:
    """A customer with users who come and go, and a subscription to a seat product that counts them."""

    def __init__(self, shop):
        self.shop, self.users = shop, []

    async def open(self, *, starts_at="2026-03-01", subscribed=True, **terms):
        self.aggregator = await self.shop.aggregator(name="users", entity="user")
        self.seats = await self.shop.product(volume(3100), kind="seat", aggregator_id=self.aggregator["id"])
        self.customer = await self.shop.customer()
        if subscribed:
            wanted = (self.seats, {**MANUAL, **terms})
            self.subscription = await self.shop.subscription(self.customer, wanted, starts_at=starts_at)
        return self

    async def come(self, count):
        for _ in range(count):
            event = {"customer_id": self.customer["id"], "event_type": "user", "record_id": f"u{len(self.users)}"}
            self.users += await self.shop.usage.add(self.shop.api.world, event)

    async def go(self, count):
        """Users become somebody else's."""
        for _ in range(count):
            event = {"customer_id": "nobody", "event_type": "user", "record_id": f"u{len(self.users)}x"}
            await self.shop.usage.add(self.shop.api.world, event, supersedes=self.users.pop())

    @property
    def path(self):
        return f"/v2/subscriptions/{self.subscription['id']}/refresh-seat-products"

    async def refresh(self, status=201):
        answer = await self.shop.api.post(self.path, {})
        assert answer.status == status, answer.text
        return answer

    async def counts(self):
        """Refresh, and give the counts that were written."""
        return [(one["previous_count"], one["new_count"]) for one in (await self.refresh()).json]

    async def shown(self):
        found = await self.shop.api.get(f"/v2/subscriptions/{self.subscription['id']}")
        return found.json["products"][0]

    async def updates(self):
        return (await self.shop.api.get(f"/v1/subscriptions/{self.subscription['id']}/updates")).json["data"]

    async def billed(self):
        return [amounts(invoice) for invoice in await self.shop.invoices()]


@pytest.fixture
def office(shop):
    return Office(shop)


def on(day, month=3, hour=12):
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.slow
async def test_a_refresh_reads_the_seats_and_charges_the_share_that_is_left(office, clock):
    """The first count is what the period begins with; 3 more with 12 of 31 days left are 36.00."""
    clock.moment = on(10)
    await office.open()
    await office.come(2)
    assert await office.counts() == [(0, 2)]
    assert await office.billed() == [[6200]]
    clock.moment = on(20)
    await office.come(3)
    answer = await office.refresh()
    (update,) = answer.json
    assert update == {
        "id": update["id"],
        "application_schedule": "immediately",
        "apply_at": "2026-03-20T12:00:00.000Z",
        "payment_schedule": "immediately",
        "calculation_method": "pro_rata",
        "adjustment_amount": 3600,
        "subscription_id": office.subscription["id"],
        "product_id": office.seats["id"],
        "previous_count": 2,
        "new_count": 5,
        "next_refresh_date": None,
    }
    listed = (await office.updates())[-1]
    assert (listed["id"], listed["type"], listed["count"], listed["reason"]) == (
        update["id"],
        "update_count",
        5,
        "manual",
    )
    assert answer.headers["X-Usage-Cutoff"].startswith(listed["cutoff"].partition(".")[0])
    shown = await office.shown()
    assert (shown["count"], shown["aggregator_id"], shown["seat_refresh_schedule"]) == (
        5,
        office.aggregator["id"],
        "manual",
    )
    clock.moment = on(2, 4)
    assert await office.billed() == [[15500], [6200, 3600]]


@pytest.mark.slow
async def test_the_same_count_writes_nothing(office, clock):
    """However often it is read, and also at a later cut-off."""
    await office.open()
    await office.come(2)
    assert await office.counts() == [(0, 2)]
    before = await office.shown()
    clock.moment = on(25)
    await office.come(1)
    await office.go(1)
    assert await office.counts() == []
    assert await office.counts() == []
    assert (len(await office.updates()), await office.shown()) == (1, before)


@pytest.mark.slow
async def test_refreshes_at_once_write_a_change_once(office):
    """The account's turn is held from what was there to what is written."""
    await office.open()
    await office.come(4)
    answers = await asyncio.gather(*(office.refresh() for _ in range(8)))
    assert sorted(len(answer.json) for answer in answers) == [0] * 7 + [1]
    assert [one["count"] for one in await office.updates()] == [4]


async def test_two_processes_write_a_change_once_and_the_later_cutoff_wins(office, registry, clock):
    """A count that was read up to an earlier cut-off comes too late, whichever process wrote the later one."""
    await office.open()
    other = Registry(registry.url.render_as_string(hide_password=False))
    early, late = Cutoff({1: pack(1, 1, 0)}).encode(), Cutoff({1: pack(1, 2, 0)}).encode()
    with registry.reading() as connection:
        (product,) = find_subscription(connection, office.shop.api.world, office.subscription["id"]).products

    async def written(by, count, cutoff):
        readings = {product.id: Reading(Decimal(count), cutoff, RefreshSchedule.MANUAL)}
        made = await by.write(write_refresh, office.shop.api.world, office.subscription["id"], readings, clock)
        return len(made.updates), made.overtaken

    at_once = await asyncio.gather(*(written(one, 7, late) for one in (registry, other) * 4))
    assert sorted(at_once) == [(0, False)] * 7 + [(1, False)]
    assert await written(other, 9, early) == (0, True)
    assert [one["count"] for one in await office.updates()] == [7]
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"refund_on_decrease": True}, [9300, -2400, 1200]),
        ({}, [9300]),
        ({"refund_on_decrease": True, "charging_method": "pay_in_full"}, [9300, -6200, 3100]),
        ({"refund_on_decrease": True, "charging_method": "do_not_charge"}, [9300]),
        ({"refund_on_decrease": True, "charging_precision": "milliseconds"}, [9300, -2300, 950]),
    ],
)
async def test_fewer_seats_are_refunded_where_that_was_agreed(office, clock, terms, expected):
    """3 seats from the first, 1 from the 20th with 12 of 31 days left, 2 from the 20th again: what was paid stays."""
    clock.moment = on(1, hour=0)
    await office.open(**terms)
    await office.come(3)
    await office.refresh()
    clock.moment = on(20)
    await office.go(2)
    assert await office.counts() == [(3, 1)]
    clock.moment = on(22) if "charging_precision" in terms else on(20, hour=18)
    await office.come(1)
    assert await office.counts() == [(1, 2)]
    clock.moment = on(2, 4)
    assert await office.billed() == [[6200], expected]


@pytest.mark.slow
async def test_without_refunds_only_what_goes_beyond_what_was_paid_is_charged(office, clock):
    """3 were paid, 1 left, 4 are there: one more from the 22nd, 10 of 31 days."""
    await office.open()
    await office.come(3)
    await office.refresh()
    await office.go(2)
    await office.refresh()
    clock.moment = on(22)
    await office.come(3)
    assert await office.counts() == [(1, 4)]
    clock.moment = on(2, 4)
    assert await office.billed() == [[12400], [9300, 1000]]


@pytest.mark.slow
async def test_the_highest_count_is_charged_until_the_period_ends(office, clock):
    """5, then 2, then 3: 5 seats in March, and 3 from April on; fewer again in April are 3 until May."""
    await office.open(charge_highest_value=True)
    await office.come(4)
    await office.refresh()
    clock.moment = on(22)
    await office.come(1)
    assert await office.counts() == [(4, 5)]
    await office.go(3)
    assert await office.counts() == [(5, 2)]
    clock.moment = on(25)
    await office.come(1)
    assert await office.counts() == [(2, 3)]
    assert (await office.shown())["count"] == 5
    clock.moment = on(2, 4)
    assert (await office.shown())["count"] == 3
    await office.go(3)
    assert await office.counts() == [(3, 0)]
    await office.come(4)
    assert await office.counts() == [(3, 4), (0, 4)]
    clock.moment = on(2, 5)
    assert await office.billed() == [[12400], [9300, 2997], [12400, 1000]]


@pytest.mark.slow
async def test_another_count_may_be_shown_from_the_next_period_on(office, clock):
    """It is charged from now on all the same."""
    await office.open(seat_application_schedule="next_period")
    await office.come(2)
    await office.refresh()
    await office.come(3)
    assert await office.counts() == [(2, 5)]
    assert ((await office.shown())["count"], await office.billed()) == (2, [[6200, 3600]])
    clock.moment = on(2, 4)
    assert (await office.shown())["count"] == 5


@pytest.mark.slow
async def test_a_count_of_the_subscription_holds_until_the_first_reading(office):
    """It began with 3: the one more that is read on the 20th is charged from then on."""
    await office.open(count=3)
    await office.come(4)
    assert await office.counts() == [(3, 4)]
    assert await office.billed() == [[9300, 1200]]


async def test_a_pending_subscription_begins_with_what_is_read(office, clock):
    """Before it starts a refresh settles what it starts with."""
    await office.open(starts_at="2026-04-01")
    await office.come(2)
    assert await office.counts() == [(0, 2)]
    await office.come(1)
    assert await office.counts() == [(2, 3)]
    clock.moment = on(2, 4)
    assert await office.billed() == [[9300]]


@pytest.mark.slow
async def test_seats_are_added_to_a_subscription_and_taken_away(office, clock):
    """Terms of an update are those of a subscription; seats that are gone are read no more."""
    await office.open(subscribed=False)
    fee = await office.shop.product([{"type": "fee", "amount": 100}], kind="flat_fee")
    office.subscription = await office.shop.subscription(office.customer, fee)
    await office.refresh(422)
    path = f"/v1/subscriptions/{office.subscription['id']}/update"
    payload = {"product_id": office.seats["id"], "payment_interval": MONTH, **MANUAL, "refund_on_decrease": True}
    assert (await office.shop.api.post(path, {"type": "add_product", "payload": payload})).status == 201
    await office.come(2)
    assert await office.counts() == [(0, 2)]
    assert await office.billed() == [[100, 2400]]
    clock.moment = on(25)
    removed = {"type": "remove_product", "payload": {"product_id": office.seats["id"]}}
    assert (await office.shop.api.post(path, removed)).status == 201
    assert await office.billed() == [[100, 2400, -1400]]
    clock.moment = on(26)
    await office.refresh(422)


CUSTOM = {"seat_invoicing_schedule": "custom", "seat_invoicing_interval": MONTH}


def starting(invoices):
    """Give the amounts of invoices by the day on which their period starts, oldest first."""
    return [(one["period_starts_at"][:10], amounts(one)) for one in invoices][::-1]


@pytest.mark.slow
async def test_changes_of_a_year_are_invoiced_by_the_month(office, clock):
    """2 seats of 365.00 a year; 3 more with 286 days left, one less with 245, 2 more with 244: by month."""
    clock.moment = on(10)
    await office.open(payment_interval=YEAR, refund_on_decrease=True, starts_at="2026-01-01", **CUSTOM)
    path = f"/v1/subscriptions/{office.subscription['id']}/update"
    prices = {"type": "update_prices", "payload": {"product_id": office.seats["id"], "prices": volume(36500)}}
    assert (await office.shop.api.post(path, {**prices, "apply_at": "2026-01-01"})).status == 201
    await office.come(2)
    await office.refresh()
    assert starting(await office.shop.invoices()) == [("2026-01-01", [73000])]
    for day, month, count in ((21, 3, 3), (1, 5, -1), (2, 5, 2)):
        clock.moment = on(day, month)
        await (office.come(count) if count > 0 else office.go(-count))
        (update,) = (await office.refresh()).json
        assert update["adjustment_amount"] == {3: 3 * 28600, -1: -24500, 2: 2 * 24400}[count]
    invoices = await office.shop.invoices()
    assert starting(invoices) == [
        ("2026-01-01", [73000]),
        ("2026-03-01", [3 * 28600]),
        ("2026-05-01", [-24500, 2 * 24400]),
    ]
    assert [one["period_starts_at"][:10] for one in invoices[0]["line_items"]] == ["2026-05-01", "2026-05-02"]
    for invoice in invoices:
        assert (await office.shop.api.get(f"/v1/invoices/{invoice['id']}")).json == invoice
        explained = (await office.shop.api.get(f"/v1/invoices/{invoice['id']}/events")).json
        assert sum(line["signed_amount"] for line in explained["lines"]) == invoice["total_amount"]
    shown = await office.shown()
    assert (shown["seat_invoicing_schedule"], shown["seat_invoicing_interval"]) == ("custom", MONTH)


@pytest.mark.slow
async def test_changes_join_what_else_is_invoiced_at_their_interval(office, shop, clock):
    """A fee a month beside seats a year; what is removed gives back what the year charged, the month's lines too."""
    clock.moment = on(10)
    await office.open(subscribed=False)
    fee = await shop.product([{"type": "fee", "amount": 700}], kind="flat_fee")
    seats = (office.seats, {**MANUAL, **CUSTOM, "payment_interval": YEAR})
    office.subscription = await shop.subscription(office.customer, fee, seats, starts_at="2026-03-01")
    await office.come(1)
    await office.refresh()
    clock.moment = on(5, 4)
    await office.come(1)
    await office.refresh()
    clock.moment = on(6, 4)
    await shop.api.post(
        f"/v1/subscriptions/{office.subscription['id']}/update",
        {"type": "remove_product", "payload": {"product_id": office.seats["id"]}, "calculation_method": "pay_in_full"},
    )
    year, charged = 2599, 2302  # 306 and 271 of 365 days of 31.00.
    assert starting(await shop.invoices()) == [
        ("2026-03-01", [700]),
        ("2026-03-01", [year, -(year + charged)]),
        ("2026-04-01", [700, charged]),
    ]


async def test_a_plan_carries_the_terms(office):
    """And a subscription from it takes them over."""
    await office.open(subscribed=False)
    terms = {**MANUAL, "charge_highest_value": True, "charging_method": "pay_in_full"}
    product = {"id": office.seats["id"], "payment_interval": MONTH, **terms}
    plan = await office.shop.made("/v1/plans", {"name": "Team", "products": [product]})
    assert plan["products"][0]["seat_refresh_schedule"] == "manual"
    body = {"customer_id": office.customer["id"], "starts_at": "2026-03-01", "plan_id": plan["id"]}
    office.subscription = await office.shop.made("/v2/subscriptions", body)
    shown = await office.shown()
    assert {name: shown[name] for name in terms} == terms


@pytest.mark.parametrize(
    ("terms", "status"),
    [
        ({"seat_refresh_schedule": "sometimes"}, 400),
        ({"seat_refresh_schedule": "periodic"}, 400),
        ({"seat_refresh_interval": MONTH}, 400),
        ({"seat_refresh_schedule": "periodic", "seat_refresh_interval": {"period": "fortnights"}}, 400),
        ({"seat_application_schedule": "never"}, 400),
        ({"seat_invoicing_schedule": "sometimes"}, 400),
        ({"seat_invoicing_schedule": "custom"}, 400),
        ({"seat_invoicing_interval": MONTH}, 400),
        ({"charging_method": "guess"}, 400),
        ({"charging_precision": "weeks"}, 400),
        ({"charge_highest_value": "yes"}, 400),
        ({"charge_highest_value": True, "refund_on_decrease": True}, 400),
        ({"metering_interval_type": "full_database"}, 422),
    ],
)
async def test_terms_that_cannot_be_are_refused(office, terms, status):
    """With the name of the field."""
    await office.open(subscribed=False)
    product = {"id": office.seats["id"], "payment_interval": MONTH, **terms}
    body = {"customer_id": office.customer["id"], "starts_at": "2026-03-01", "products": [product]}
    answer = await office.shop.api.post("/v2/subscriptions", body)
    assert answer.status == status, answer.text
    assert any(name in answer.text for name in (*terms, "seat_refresh_interval", "seat_invoicing_interval"))


async def test_only_connected_seats_are_refreshed(office, shop):
    """A count by hand, terms for what is not connected, sums, what is not there or has ended: all are refused."""
    total = await shop.aggregator(operation="sum", property="amount")
    prices = [{"currency": "EUR", "prices": volume(1)}]
    summed = {"name": "x", "type": "seat", "aggregator_id": total["id"], "price_configurations": prices}
    assert (await shop.api.post("/v1/products", summed)).status == 422
    await office.open()
    payload = {"product_id": office.seats["id"], "count": 3}
    path = f"/v1/subscriptions/{office.subscription['id']}/update"
    by_hand = await shop.api.post(path, {"type": "update_count", "payload": payload})
    assert (by_hand.status, "refresh-seat-products" in by_hand.text) == (422, True)
    plain = await shop.product(volume(1), kind="seat")
    product = {"id": plain["id"], "payment_interval": MONTH, **MANUAL}
    body = {"customer_id": office.customer["id"], "starts_at": "2026-03-01", "products": [product]}
    assert (await shop.api.post("/v2/subscriptions", body)).status == 422
    assert (await shop.api.post("/v2/subscriptions/sub_x/refresh-seat-products", {})).status == 404
    used = await shop.api("DELETE", f"/v1/aggregators/{office.aggregator['id']}")
    assert used.status == 409
    changed = await shop.api.put(f"/v1/aggregators/{office.aggregator['id']}", {"operation": "sum", "property": "n"})
    assert changed.status == 200, changed.text
    assert "make it a count" in (await office.refresh(422)).text
    await shop.api.post(f"/v1/subscriptions/{office.subscription['id']}/cancel", {})
    await office.refresh(422)


async def test_an_event_is_no_price_of_a_seat(office):
    """Neither in a subscription nor in the catalog."""
    await office.open()
    await office.come(1)
    (invoice,) = await office.shop.invoices()
    explained = await office.shop.api.get(f"/v1/invoices/{invoice['id']}/events")
    assert explained.status == 200, explained.text
    await office.refresh()
    (invoice,) = await office.shop.invoices()
    explained = await office.shop.api.get(f"/v1/invoices/{invoice['id']}/events")
    (line,) = explained.json["lines"]
    assert (explained.json["data"], invoice["total_amount"]) == ([], 3100)
    assert [(one["reason"], one["amount"]) for one in line["entries"]] == [("not_metered", 3100)]
