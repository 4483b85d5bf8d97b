"""Open invoices over HTTP: periods, figures by hand, filters, and the walls between accounts."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from tests.metering.api.conftest import Usage

V1 = [
    {"type": "volume", "from": 0, "to": 10, "amount": 5000},
    {"type": "volume", "from": 10, "to": 50, "amount": 4000},
    {"type": "volume", "from": 50, "to": None, "amount": 2000},
]
FEE = [{"type": "fee", "amount": 10000}]
OPEN_ROW = {"type": "volume", "from": 0, "to": None}


@pytest.mark.slow
async def test_a_month_of_usage_is_one_open_invoice_with_its_tiers(shop):
    """63 calls at 50, 40 and 20 EUR are 2360 EUR, told tier by tier."""
    customer = await shop.customer(external_id="acme-1")
    product = await shop.product(V1)
    subscription = await shop.subscription(customer, product)
    await shop.use("acme-1", *["2026-03-05T10:00:00+00:00"] * 60)
    await shop.use(customer["id"], *["2026-03-31T23:59:59+00:00"] * 3)

    (invoice,) = await shop.invoices()
    assert invoice == {
        "id": invoice["id"],
        "status": "open",
        "customer": {"id": customer["id"], "external_id": "acme-1"},
        "subscription_id": subscription["id"],
        "currency": "EUR",
        "period_starts_at": "2026-03-01T00:00:00.000Z",
        "period_ends_at": "2026-04-01T00:00:00.000Z",
        "amount_excluding_tax": 236000,
        "tax_amount": 0,
        "total_amount": 236000,
        "discount_amount": 0,
        "coupons": [],
        "line_items": [
            {
                "id": invoice["line_items"][0]["id"],
                "name": "Calls",
                "product_id": product["id"],
                "coupon_id": None,
                "entry_type": "debit",
                "units_count": 63,
                "currency": "EUR",
                "amount": 236000,
                "period_starts_at": "2026-03-01T00:00:00.000Z",
                "period_ends_at": "2026-04-01T00:00:00.000Z",
                "upfront": None,
                "tiers": [
                    {"from": 0, "to": 10, "quantity": 10, "amount": 50000},
                    {"from": 10, "to": 50, "quantity": 40, "amount": 160000},
                    {"from": 50, "to": None, "quantity": 13, "amount": 26000},
                ],
            }
        ],
    }
    assert (await shop.api.get(f"/v1/invoices/{invoice['id']}")).json == invoice


async def test_the_first_period_starts_with_the_subscription(shop):
    """From 16 January: a fee for 16 of 31 days, no usage from before, then whole months, newest first."""
    customer = await shop.customer()
    fee, calls = await shop.product(FEE, kind="flat_fee", name="Access"), await shop.product()
    await shop.subscription(customer, fee, calls, starts_at="2026-01-16T09:00:00Z")
    await shop.use(
        customer["id"], "2026-01-16T08:59:59+00:00", "2026-01-16T09:00:00+00:00", "2026-02-01T00:00:00+00:00"
    )

    march, february, january = await shop.invoices()
    starts = [one["period_starts_at"] for one in (march, february, january)]
    assert starts == ["2026-03-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z", "2026-01-16T09:00:00.000Z"]
    assert [line["amount"] for line in january["line_items"]] == [5161, 5]  # 10000 x 16/31 = 5161.29
    assert [line["amount"] for line in february["line_items"]] == [10000, 5]
    assert [line["units_count"] for line in march["line_items"]] == [1, 0]
    assert january["total_amount"] == 5166


async def test_periods_follow_the_customers_clocks(shop, clock):
    """In Paris March 2026 begins on 28 February at 23:00 UTC and ends, an hour of summer later, at 22:00 UTC."""
    clock.moment = datetime(2026, 3, 31, 22, tzinfo=UTC)
    customer = await shop.customer(timezone="Europe/Paris")
    await shop.subscription(customer, await shop.product(), starts_at="2026-03-01")
    await shop.use(
        customer["id"], "2026-02-28T22:59:59+00:00", "2026-02-28T23:00:00+00:00", "2026-03-31T22:00:00+00:00"
    )

    april, march = await shop.invoices()
    assert (march["period_starts_at"], march["period_ends_at"]) == (
        "2026-02-28T23:00:00.000Z",
        "2026-03-31T22:00:00.000Z",
    )
    assert [one["line_items"][0]["units_count"] for one in (march, april)] == [1, 1]


async def test_minimum_maximum_and_commitment_hold_for_the_line(shop):
    """The units shown are the committed ones, the amount is the clamped one, and the tiers still add up."""
    customer = await shop.customer()
    low, high, committed = [await shop.product(V1, name=name) for name in ("low", "high", "committed")]
    terms = [(low, {"min_amount": 10000}), (high, {"max_amount": 4000}), (committed, {"min_committed_count": 20})]
    await shop.subscription(customer, *terms)
    await shop.use(customer["id"], "2026-03-05T10:00:00+00:00")

    (invoice,) = await shop.invoices()
    lines = {line["name"]: line for line in invoice["line_items"]}
    assert {name: (line["units_count"], line["amount"]) for name, line in lines.items()} == {
        "low": (1, 10000),
        "high": (1, 4000),
        "committed": (20, 90000),
    }
    assert lines["low"]["tiers"][-1] == {"adjustment": "minimum", "amount": 5000}
    assert all(sum(tier["amount"] for tier in line["tiers"]) == line["amount"] for line in lines.values())


async def test_a_matrix_rates_each_group_on_its_own_units(shop):
    """visa 1.00, mastercard bulk 0.50 then 0.30, others 0.10: 3, 12 and 7 are 730; the first filter that fits wins."""

    def scheme(name):
        fields = [{"property": "scheme", "operator": "equals", "value": name}]
        return {"name": name, "configuration": {"conditional": "and", "fields": fields}}

    bulk = [{"type": "bulk", "to": 10, "amount": 50}, {"type": "bulk", "to": None, "amount": 30}]
    configurations = [
        {"currency": "EUR", "metering_filter": scheme("visa"), "prices": [{**OPEN_ROW, "amount": 100}]},
        {"currency": "EUR", "metering_filter": scheme("mastercard"), "prices": bulk},
        {"currency": "EUR", "prices": [{**OPEN_ROW, "amount": 10}]},
    ]
    customer = await shop.customer()
    await shop.subscription(customer, await shop.product(configurations=configurations))
    for name, count in (("visa", 3), ("mastercard", 12), ("amex", 7)):
        await shop.use(customer["id"], *["2026-03-05T10:00:00+00:00"] * count, scheme=name)

    (invoice,) = await shop.invoices()
    (line,) = invoice["line_items"]
    assert (line["units_count"], line["amount"]) == (22, 730)


async def test_percentages_of_each_event_are_taken_event_by_event(shop):
    """1 % with floor 20, cap 500 and fee 10 of 1000, 5000 and 100000: 30 + 60 + 510."""
    row = {"type": "bps", "from": 0, "to": None, "percentage": 1}
    rows = [{**row, "per_unit_floor": 20, "per_unit_cap": 500, "per_unit_fee": 10}]
    aggregator = await shop.aggregator(operation="sum", property="amount")
    customer = await shop.customer()
    await shop.subscription(customer, await shop.product(rows, aggregator_id=aggregator["id"]))
    for amount in (1000, 5000, 100000):
        await shop.use(customer["id"], "2026-03-05T10:00:00+00:00", amount=amount)

    (invoice,) = await shop.invoices()
    assert (invoice["line_items"][0]["units_count"], invoice["total_amount"]) == (106000, 600)


async def test_negative_usage_is_a_credit_where_it_is_allowed(shop):
    """-5 units at 50 EUR give 250 EUR back; without the permission they are 0."""
    customer = await shop.customer()
    products = []
    for allowed in (True, False):
        aggregator = await shop.aggregator(operation="sum", property="n", allow_negative_values=allowed)
        products.append(await shop.product(V1, aggregator_id=aggregator["id"]))
    await shop.subscription(customer, *products)
    await shop.use(customer["id"], "2026-03-05T10:00:00+00:00", n=-5)

    (invoice,) = await shop.invoices()
    shown = [(line["entry_type"], line["units_count"], line["amount"]) for line in invoice["line_items"]]
    assert shown == [("credit", 5, 25000), ("debit", 0, 0)]
    assert invoice["total_amount"] == -25000


async def test_seats_and_bundles_are_rated_on_their_count(shop):
    """12 seats in packs of 5 at 40 EUR are 120 EUR a month, and 10 of 31 days of that at first."""
    customer = await shop.customer()
    rows = [{"type": "bundle", "amount": 4000, "unit_count": 5}]
    seats, packs = await shop.product(rows, kind="seat"), await shop.product(rows, kind="bundle")
    await shop.subscription(customer, (seats, {"count": 12}), (packs, {"count": 12}), starts_at="2026-01-22")

    newest, _, first = await shop.invoices()
    assert [(line["units_count"], line["amount"]) for line in newest["line_items"]] == [(12, 12000)] * 2
    assert [line["amount"] for line in first["line_items"]] == [3871] * 2


async def test_products_of_one_interval_share_an_invoice(shop):
    """A yearly fee and monthly usage are two invoices; 12 months and a year are the same interval."""
    customer = await shop.customer()
    year, twelve = [await shop.product(FEE, kind="flat_fee", name=name) for name in ("year", "twelve")]
    calls = await shop.product()
    yearly = (year, {"payment_interval": {"period": "years", "count": 1}})
    months = (twelve, {"payment_interval": {"period": "months", "count": 12}})
    await shop.subscription(customer, yearly, months, calls, starts_at="2026-03-01")

    invoices = await shop.invoices()
    assert sorted([line["name"] for line in one["line_items"]] for one in invoices) == [["Calls"], ["year", "twelve"]]
    yearly_invoice = next(one for one in invoices if len(one["line_items"]) == 2)
    assert yearly_invoice["period_ends_at"] == "2027-01-01T00:00:00.000Z"
    assert yearly_invoice["line_items"][0]["amount"] == 8384  # 306 of 365 days: 8383.56


@pytest.mark.slow
async def test_a_correction_moves_money(shop, store):
    """An event that is corrected into another month is billed there; `as_of` still tells what it was before."""
    usage = Usage(store)
    customer = await shop.customer()
    await shop.subscription(customer, await shop.product(), starts_at="2026-02-01")
    event = {"customer_id": customer["id"], "event_type": "call", "record_id": "moved"}
    february, march = 1_770_000_000_000_000, 1_773_000_000_000_000
    (first,) = await usage.add(shop.api.world, {**event, "timestamp_us": february})
    before = await shop.api.get("/v1/invoices?status=open")
    await usage.add(shop.api.world, {**event, "timestamp_us": march}, supersedes=first)

    def units(answer):
        return [one["line_items"][0]["units_count"] for one in answer.json["data"]]

    after = await shop.api.get("/v1/invoices?status=open")
    assert (units(before), units(after)) == ([0, 1], [1, 0])
    cutoff = before.headers["X-Usage-Cutoff"]
    again = await shop.api.get(f"/v1/invoices?status=open&as_of={cutoff}")
    assert (again.text, again.headers["X-Usage-Cutoff"]) == (before.text, cutoff)
    one = before.json["data"][1]
    assert (await shop.api.get(f"/v1/invoices/{one['id']}?as_of={cutoff}")).json == one


async def test_lists_are_filtered_and_paged(shop):
    """By customer under either id, by subscription and by start; `total` is of the filter."""
    product = await shop.product()
    customers = [await shop.customer(external_id=f"ext-{index}") for index in range(3)]
    made = [await shop.subscription(customer, product, starts_at="2026-01-01") for customer in customers]

    async def listed(query):
        return (await shop.api.get(f"/v1/invoices?status=open&{query}")).json

    assert (await listed("take=2&skip=3"))["meta"] == {"total": 9, "taken": 2, "skipped": 3}
    for name in ("ext-1", customers[1]["id"]):
        data = (await listed(f"customer_id={name}"))["data"]
        assert {one["customer"]["external_id"] for one in data} == {"ext-1"}
        assert len(data) == 3
    assert (await listed("customer_id=nobody"))["meta"]["total"] == 0
    assert (await listed("customer_id__in=ext-0,ext-2"))["meta"]["total"] == 6
    assert (await listed(f"subscription_id={made[0]['id']}"))["meta"]["total"] == 3
    assert (await listed("period_starts_at__gte=2026-02-01&period_starts_at__lt=2026-03-01"))["meta"]["total"] == 3
    assert (await listed("period_starts_at__gt=2026-02-01"))["meta"]["total"] == 3
    assert (await listed("period_starts_at=2026-02-01T00:00:00Z"))["meta"]["total"] == 3
    starts = [one["period_starts_at"] for one in (await listed("take=100"))["data"]]
    assert starts == sorted(starts, reverse=True)


@pytest.mark.slow
async def test_open_invoices_are_hidden_until_asked_for(shop):
    """As documented: a list without `status` does not show them, nor does one of other statuses."""
    await shop.subscription(await shop.customer(), await shop.product())
    for query in ("", "?status=paid", "?status__in=paid,draft"):
        assert (await shop.api.get(f"/v1/invoices{query}")).json["meta"]["total"] == 0
    assert len(await shop.invoices()) == 1
    assert (await shop.api.get("/v1/invoices?status__in=paid,open")).json["meta"]["total"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "status=opened",
        "status__contains=o",
        "status=open&period_starts_at__gte=soon",
        "status=open&period_starts_at__in=2026-01-01",
        "status=open&customer_id__gt=a",
        "status=open&as_of=yesterday",
        "status=open&as_of=2099-01-01",
        "take=101",
        "skip=-1",
    ],
)
async def test_what_cannot_be_read_is_refused(shop, query):
    """A filter is never dropped in silence."""
    assert (await shop.api.get(f"/v1/invoices?{query}")).status == 400


@pytest.mark.parametrize(
    "name", ["inv_", "inv_x", "nothing", "inv_0123456789012345678901230123456789ab", "%00", "é" * 9]
)
async def test_an_unknown_invoice_is_404(shop, name):
    """Whatever the id looks like."""
    assert (await shop.api.get(f"/v1/invoices/{quote(name, safe='%')}")).status == 404


@pytest.mark.slow
async def test_a_cancelled_subscription_begins_no_more_periods(shop, clock):
    """The running period ends with it, its fee stands, usage after it is not billed."""
    clock.moment = datetime(2026, 2, 10, tzinfo=UTC)
    customer = await shop.customer()
    fee, calls = await shop.product(FEE, kind="flat_fee"), await shop.product()
    subscription = await shop.subscription(customer, fee, calls, starts_at="2026-01-01")
    cancelled = await shop.api.post(f"/v1/subscriptions/{subscription['id']}/cancel", {})
    assert cancelled.json["status"] == "cancelled"
    await shop.use(customer["id"], "2026-02-09T00:00:00+00:00", "2026-02-10T00:00:00+00:00")

    clock.moment = datetime(2026, 5, 1, tzinfo=UTC)
    february, _ = await shop.invoices()
    assert february["period_ends_at"] == "2026-02-10T00:00:00.000Z"
    assert [(line["units_count"], line["amount"]) for line in february["line_items"]] == [(1, 10000), (1, 5)]


async def test_a_pending_subscription_has_no_invoice(shop):
    """Nothing is owed before it starts."""
    made = await shop.subscription(await shop.customer(), await shop.product(), starts_at="2026-03-21")
    assert made["status"] == "pending"
    assert await shop.invoices() == []


async def test_an_amount_beyond_64_bits_is_refused_by_name(shop):
    """It is not wrapped, and it is no 500."""
    aggregator = await shop.aggregator(operation="sum", property="n")
    product = await shop.product(aggregator_id=aggregator["id"])
    customer = await shop.customer()
    await shop.subscription(customer, product)
    await shop.use(customer["id"], "2026-03-05T10:00:00+00:00", n=int("9" * 19))
    answer = await shop.api.get("/v1/invoices?status=open")
    assert answer.status == 422
    assert product["id"] in answer.json["message"]


async def test_no_text_in_a_query_is_a_500(shop):
    """Whatever bytes stand in a filter."""
    for text in ("%00", "%ff", "%ed%a0%80", "%27", "a" * 2000):
        for name in ("customer_id", "subscription_id", "status", "period_starts_at__gte", "as_of", "take"):
            assert (await shop.api.get(f"/v1/invoices?status=open&{name}={text}")).status < 500
            assert (await shop.api.get(f"/v2/subscriptions?{name}={text}")).status < 500
