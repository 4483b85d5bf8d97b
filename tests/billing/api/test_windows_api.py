"""Metering windows and the difference over HTTP: the examples of the rules, figure by figure."""

from datetime import UTC, datetime

import pytest

from billing.marginal.model import CountedEvent
from billing.marginal.prices import marginal_prices
from metering.store.chains import ChainStore
from metering.timestamps import microseconds
from tests.metering.api.conftest import Usage

MONTH, YEAR = {"period": "months", "count": 1}, {"period": "years", "count": 1}
ALLOWANCE = [
    {"type": "volume", "from": 0, "to": 1000, "amount": 0},
    {"type": "volume", "from": 1000, "to": None, "amount": 10},
]
YEARLY = {"metering_interval_type": "custom", "metering_interval": YEAR}
DIFFERENCE = {**YEARLY, "bill_usage_difference": True}


def amounts(invoices):
    """Give the amount of the only line of each, oldest first."""
    return [one["line_items"][0]["amount"] for one in invoices][::-1]


async def metered(shop, rows, uses, terms, *, starts_at="2025-10-01", **more):
    """Subscribe to a sum, and use it: pairs of a day and a number."""
    customer = await shop.customer()
    aggregator = await shop.aggregator(operation="sum", property="n")
    product = await shop.product(rows, aggregator_id=aggregator["id"])
    made = await shop.subscription(customer, (product, terms), starts_at=starts_at, **more)
    for day, number in uses:
        await shop.use(customer["id"], f"{day}T10:00:00+00:00", n=number)
    return made


async def test_the_difference_is_one_of_amounts_and_restarts_with_the_window(shop, clock):
    """1000 free, then 10 cents; cumulative 600, 1400, 2000, 2000, 1900, and 1100 in the new year."""
    clock.moment = datetime(2026, 1, 15, tzinfo=UTC)
    uses = [("2025-08-05", 600), ("2025-09-05", 800), ("2025-10-05", 600), ("2025-12-05", -100), ("2026-01-05", 1100)]
    await metered(shop, ALLOWANCE, uses, DIFFERENCE, starts_at="2025-08-01")
    invoices = await shop.invoices()
    assert amounts(invoices) == [0, 4000, 6000, 0, 0, 1000]
    assert [one["line_items"][0]["units_count"] for one in invoices][::-1] == [600, 1400, 2000, 2000, 1900, 1100]
    october = invoices[3]["line_items"][0]
    assert october["tiers"][-1] == {"adjustment": "already_billed", "amount": -4000}
    assert sum(tier["amount"] for tier in october["tiers"]) == october["amount"]


async def test_what_was_billed_is_not_billed_again_when_usage_comes_back(shop, clock):
    """2000, then 1900, then 2000 again: the most that it had come to is what counts."""
    clock.moment = datetime(2025, 12, 15, tzinfo=UTC)
    uses = [("2025-10-05", 2000), ("2025-11-05", -100), ("2025-12-05", 150)]
    await metered(shop, ALLOWANCE, uses, DIFFERENCE)
    assert amounts(await shop.invoices()) == [10000, 0, 500]


async def test_the_difference_telescopes_over_rounding(shop, clock):
    """0.4 each, cumulative 1, 2, 3: 0, 1 and 0."""
    clock.moment = datetime(2025, 12, 15, tzinfo=UTC)
    rows = [{"type": "volume", "from": 0, "to": None, "amount": 0.4}]
    uses = [("2025-10-05", 1), ("2025-11-05", 1), ("2025-12-05", 1)]
    await metered(shop, rows, uses, DIFFERENCE)
    assert amounts(await shop.invoices()) == [0, 1, 0]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"min_amount": 5000}, [5000, 0, 5000]),
        ({"max_amount": 7000}, [0, 4000, 3000]),
        ({"min_committed_count": 1500}, [5000, 0, 5000]),
    ],
)
async def test_the_terms_hold_for_the_window_before_the_difference(shop, clock, terms, expected):
    """Cumulative 600, 1400 and 2000 come to 0, 40.00 and 100.00; a minimum is owed once a year, not once a month."""
    clock.moment = datetime(2025, 12, 15, tzinfo=UTC)
    uses = [("2025-10-05", 600), ("2025-11-05", 800), ("2025-12-05", 600)]
    await metered(shop, ALLOWANCE, uses, {**DIFFERENCE, **terms})
    assert amounts(await shop.invoices()) == expected


async def test_without_the_difference_the_window_is_billed_as_far_as_it_came(shop, clock):
    """Each month shows the year so far."""
    clock.moment = datetime(2025, 12, 15, tzinfo=UTC)
    uses = [("2025-10-05", 600), ("2025-11-05", 800), ("2025-12-05", 600)]
    await metered(shop, ALLOWANCE, uses, YEARLY)
    invoices = await shop.invoices()
    assert amounts(invoices) == [0, 4000, 10000]
    assert [
        (one["line_items"][0]["period_starts_at"][:10], one["line_items"][0]["period_ends_at"][:10]) for one in invoices
    ] == [
        ("2025-10-01", "2026-01-01"),
        ("2025-10-01", "2025-12-01"),
        ("2025-10-01", "2025-11-01"),
    ]


async def test_a_commitment_and_a_duration_are_windows(shop, clock):
    """The commitment restarts on 15 October, in the middle of a month; the duration never does."""
    clock.moment = datetime(2025, 11, 15, tzinfo=UTC)
    uses = [("2024-10-20", 900), ("2025-10-10", 200), ("2025-10-20", 1100), ("2025-11-05", 10)]
    for kind, expected in (("subscription_commitment", [1000 + 1000, 100]), ("subscription_duration", [12000, 100])):
        terms = {"metering_interval_type": kind, "bill_usage_difference": True}
        made = await metered(shop, ALLOWANCE, uses, terms, starts_at="2024-10-15", commitment_interval=YEAR)
        invoices = await shop.invoices(f"&subscription_id={made['id']}")
        assert amounts(invoices)[-2:] == expected
        assert sum(amounts(invoices)) == sum(expected)


async def test_a_year_paid_at_once_can_be_metered_by_the_month(shop, clock):
    """700 a month are within the free 1000 of each, though not of a year."""
    clock.moment = datetime(2025, 12, 15, tzinfo=UTC)
    uses = [("2025-10-05", 700), ("2025-11-05", 700), ("2025-12-05", 1300)]
    terms = {"payment_interval": YEAR, "metering_interval_type": "custom", "metering_interval": MONTH}
    await metered(shop, ALLOWANCE, uses, terms)
    (invoice,) = await shop.invoices()
    assert (invoice["line_items"][0]["amount"], invoice["line_items"][0]["units_count"]) == (3000, 2700)


async def test_the_whole_database_counts_entities_whatever_their_timestamp(shop, store, clock):
    """10 entities at 5 EUR, then 12, then 10: 50.00, 10.00 and nothing. Each period is as the database stood then."""
    customer = await shop.customer()
    active = {"fields": [{"property": "active", "operator": "equals", "value": "yes"}]}
    aggregator = await shop.aggregator(where=active)
    product = await shop.product(
        [{"type": "volume", "from": 0, "to": None, "amount": 500}], aggregator_id=aggregator["id"]
    )
    terms = {"metering_interval_type": "full_database"}
    clock.moment = datetime(2026, 1, 10, tzinfo=UTC)
    made = await shop.subscription(
        customer, (product, {**terms, "bill_usage_difference": True}), starts_at="2026-01-01"
    )
    whole = await shop.subscription(customer, (product, terms), starts_at="2026-01-01")
    usage = Usage(store)

    def entities(first, last, active="yes"):
        shown = {"customer_id": customer["id"], "event_type": "call", "properties": f'{{"active":"{active}"}}'.encode()}
        stamps = (1_000_000_000_000_000, 1_700_000_000_000_000)
        return [
            {**shown, "record_id": f"e{number}", "timestamp_us": stamps[number % 2] + (active == "no")}
            for number in range(first, last)
        ]

    await usage.add(shop.api.world, *entities(0, 10), at=datetime(2026, 1, 20, tzinfo=UTC))
    assert amounts(await shop.invoices(f"&subscription_id={made['id']}")) == [5000]
    ended = await usage.add(shop.api.world, *entities(10, 12), at=datetime(2026, 2, 20, tzinfo=UTC))
    for one, gone in zip(ended, entities(10, 12, "no"), strict=True):
        await usage.add(shop.api.world, gone, supersedes=one, at=datetime(2026, 3, 20, tzinfo=UTC))
    clock.moment = datetime(2026, 3, 25, tzinfo=UTC)
    assert amounts(await shop.invoices(f"&subscription_id={made['id']}")) == [5000, 1000, 0]
    assert amounts(await shop.invoices(f"&subscription_id={whole['id']}")) == [5000, 6000, 5000]
    as_of = await shop.invoices(f"&subscription_id={whole['id']}&as_of=2026-02-25")
    assert amounts(as_of) == [5000, 6000, 6000]


async def test_anniversaries_are_billed_whole_from_the_day_of_the_start(shop, clock):
    """31 January, 28 February, 31 March; the first month is a whole one, so its fee is too."""
    clock.moment = datetime(2026, 4, 1, tzinfo=UTC)
    customer = await shop.customer(timezone="Europe/Paris")
    fee = await shop.product([{"type": "fee", "amount": 10000}], kind="flat_fee")
    calls = await shop.product()
    made = await shop.subscription(customer, fee, calls, starts_at="2026-01-31", billing_cycle_alignment="anniversary")
    assert made["billing_cycle_alignment"] == "anniversary"
    await shop.use(customer["id"], "2026-02-27T22:59:59+00:00", "2026-02-27T23:00:00+00:00")
    invoices = await shop.invoices()
    assert [one["period_starts_at"] for one in invoices] == [
        "2026-03-30T22:00:00.000Z",
        "2026-02-27T23:00:00.000Z",
        "2026-01-30T23:00:00.000Z",
    ]
    assert [[line["amount"] for line in one["line_items"]] for one in invoices] == [[10000, 0], [10000, 5], [10000, 5]]


async def test_terms_of_windows_come_back_and_are_for_usage_alone(shop):
    """A custom window may have a start of its own; a fee has no usage to meter."""
    terms = {**DIFFERENCE, "metering_interval_start_at": "2025-06-01"}
    made = await metered(shop, ALLOWANCE, [], terms)
    shown = made["products"][0]
    assert shown["metering_interval_type"] == "custom"
    assert shown["metering_interval"] == YEAR
    assert shown["metering_interval_start_at"] == "2025-06-01T00:00:00.000Z"
    assert shown["bill_usage_difference"] is True
    fee = await shop.product([{"type": "fee", "amount": 1}], kind="flat_fee")
    one = {"id": fee["id"], "payment_interval": MONTH, "metering_interval_type": "full_database"}
    body = {"customer_id": (await shop.customer())["id"], "starts_at": "2026-03-01", "products": [one]}
    assert (await shop.api.post("/v2/subscriptions", body)).status == 422


async def test_prices_for_each_event_go_by_windows_too(shop, clock):
    """1 % with a cap of 500 an event: what a month adds to its year, event by event."""
    clock.moment = datetime(2025, 11, 15, tzinfo=UTC)
    rows = [{"type": "bps", "from": 0, "to": None, "percentage": 1, "per_unit_cap": 500}]
    uses = [("2025-10-05", 1000), ("2025-10-06", 100000), ("2025-11-05", 5000)]
    await metered(shop, rows, uses, DIFFERENCE)
    assert amounts(await shop.invoices()) == [510, 50]


async def test_an_event_costs_what_it_adds_beyond_what_was_billed(shop, registry, store):
    """50 each up to 10 units, then 30: February billed 500; at 11 units it is 330, and the line stays 0 until 16.67."""
    bulk = [{"type": "bulk", "to": 10, "amount": 50}, {"type": "bulk", "to": None, "amount": 30}]
    made = await metered(shop, bulk, [("2026-02-05", 10), ("2026-03-05", 1)], DIFFERENCE, starts_at="2026-02-01")
    costs = []
    for number in (1, 6):
        before = amounts(await shop.invoices())[-1]
        at_us = microseconds(datetime(2026, 3, 10, tzinfo=UTC))
        event = CountedEvent(made["customer_id"], "call", "new", at_us, {"id": "new", "n": number})
        cutoff = await ChainStore(store).applied()
        (price,) = await marginal_prices(registry, store, shop.api.world, event, cutoff)
        await shop.use(made["customer_id"], "2026-03-10T00:00:00+00:00", n=number)
        assert amounts(await shop.invoices())[-1] - before == price.amount
        costs.append(price.amount)
    assert costs == [0, 40]
