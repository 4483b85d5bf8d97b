"""Usage that is billed when its period starts: advances, true-ups, and every way of asking for them."""

from datetime import UTC, datetime

import pytest

from tests.billing.api.test_figures_agree import adds_up, signed

pytestmark = pytest.mark.slow
VOLUME = [
    {"type": "volume", "from": 0, "to": 10, "amount": 50},
    {"type": "volume", "from": 10, "to": None, "amount": 20},
]
BULK = [{"type": "bulk", "to": 10, "amount": 50}, {"type": "bulk", "to": None, "amount": 30}]
IN_FULL = [
    {"type": "volume", "from": 0, "to": 5, "amount": 7.3, "on_tier_incomplete": "pay_in_full"},
    {"type": "volume", "from": 5, "to": None, "amount": 0.7},
]
VISA = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}
START = {"payment_schedule": "start"}
YEAR = {"period": "years", "count": 1}


async def sold(shop, rows=VOLUME, *, starts_at="2026-01-01", uses=(), aggregator=None, **terms):
    """Subscribe to a sum upfront, and use it: pairs of a day and a number."""
    customer = await shop.customer()
    counted = await shop.aggregator(**(aggregator or {"operation": "sum", "property": "n"}))
    product = await shop.product(rows, aggregator_id=counted["id"])
    made = await shop.subscription(customer, (product, {**START, **terms}), starts_at=starts_at)
    for day, number in uses:
        await shop.use(customer["id"], f"{day}T10:00:00+00:00", n=number)
    return made, product, customer


def shown(invoices):
    """Give for each invoice, oldest first, what its lines are and come to."""
    return [[(line["upfront"], line["units_count"], signed(line)) for line in one["line_items"]] for one in invoices][
        ::-1
    ]


async def test_each_period_is_billed_by_the_one_before_and_settled_in_the_next(shop):
    """15 units, then 8, then 30 so far: 500 + 5 x 20 = 600, then 400."""
    await sold(shop, uses=[("2026-01-10", 15), ("2026-02-10", 8), ("2026-03-10", 30)])
    assert shown(await shop.invoices()) == [
        [("advance", 0, 0)],
        [("true_up", 15, 600), ("advance", 15, 600)],
        [("true_up", 7, -200), ("advance", 8, 400)],
    ]
    march = (await shop.invoices())[0]["line_items"]
    months = [(line["period_starts_at"][:7], line["period_ends_at"][:7]) for line in march]
    assert months == [("2026-02", "2026-03"), ("2026-03", "2026-04")]
    assert march[0]["tiers"] == [
        {"from": 0, "to": 10, "quantity": 2, "amount": 100},
        {"from": 10, "to": None, "quantity": 5, "amount": 100},
    ]
    assert len({line["id"] for one in await shop.invoices() for line in one["line_items"]}) == 5


async def test_a_commitment_is_paid_in_advance_and_never_given_back(shop):
    """12 committed: 540; 15 units are 600, and 3 units are the commitment."""
    await sold(shop, min_committed_count=12, uses=[("2026-01-10", 15), ("2026-02-10", 3), ("2026-03-10", 3)])
    assert shown(await shop.invoices()) == [
        [("advance", 12, 540)],
        [("true_up", 3, 60), ("advance", 15, 600)],
        [("true_up", 3, -60), ("advance", 12, 540)],
    ]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"min_amount": 550}, [[550], [50, 600], [-50, 550]]),
        ({"max_amount": 450}, [[0], [450, 450], [-50, 400]]),
    ],
)
async def test_a_minimum_and_a_maximum_hold_for_advance_and_usage(shop, terms, expected):
    """15 units, then 8: 600 and 400 before they are clamped."""
    await sold(shop, uses=[("2026-01-10", 15), ("2026-02-10", 8)], **terms)
    invoices = await shop.invoices()
    assert [[amount for _, _, amount in lines] for lines in shown(invoices)] == expected
    for invoice in invoices:
        await adds_up(shop, invoice)


async def test_the_last_period_is_settled_in_its_own_invoice(shop, clock):
    """Nothing comes after it: what was advanced beyond usage is given back."""
    made, _, _ = await sold(shop, uses=[("2026-02-10", 15), ("2026-03-10", 4)])
    await shop.api.post(f"/v1/subscriptions/{made['id']}/cancel", {})
    clock.moment = datetime(2026, 6, 1, tzinfo=UTC)
    march = (await shop.invoices())[0]
    assert shown([march]) == [[("true_up", 15, 600), ("advance", 15, 600), ("true_up", 11, -400)]]
    assert len({line["id"] for line in march["line_items"]}) == 3
    await adds_up(shop, march)


async def test_a_removed_product_is_settled_though_others_go_on(shop, clock):
    """And an added one begins with an advance of its own."""
    made, product, customer = await sold(shop, uses=[("2026-02-10", 15), ("2026-03-10", 4)])
    other = await shop.product(VOLUME)
    path = f"/v1/subscriptions/{made['id']}/update"
    month = {"period": "months", "count": 1}
    added = {"product_id": other["id"], "payment_interval": month, "min_committed_count": 2, **START}
    assert (await shop.api.post(path, {"type": "add_product", "payload": added})).status == 201
    removed = {"type": "remove_product", "payload": {"product_id": product["id"]}}
    assert (await shop.api.post(path, removed)).status == 201
    await shop.use(customer["id"], *["2026-03-25T10:00:00+00:00"] * 3, n=100)
    clock.moment = datetime(2026, 4, 10, tzinfo=UTC)
    april, march = (await shop.invoices())[:2]
    assert shown([april, march]) == [
        [("true_up", 15, 600), ("advance", 15, 600), ("true_up", 11, -400), ("advance", 2, 100)],
        [("true_up", 1, 50), ("advance", 3, 150)],
    ]


@pytest.mark.parametrize(
    ("rows", "aggregator"),
    [
        (BULK, None),
        (IN_FULL, {"operation": "sum", "property": "n", "allow_negative_values": True}),
        ([{"type": "bps", "from": 0, "to": None, "percentage": 100, "per_unit_fee": 7, "per_unit_cap": 9}], None),
        (VOLUME, {"operation": "max", "property": "n"}),
    ],
)
async def test_what_is_billed_in_the_end_is_what_usage_comes_to(shop, clock, rows, aggregator):
    """Whatever the model: without the advance of the last month, all lines together are those of usage in arrears."""
    uses = [("2026-01-10", 3), ("2026-01-11", 9), ("2026-02-10", -5), ("2026-03-01", 20)]
    made, product, customer = await sold(shop, rows, uses=uses, aggregator=aggregator)
    arrears = await shop.subscription(customer, product, starts_at="2026-01-01")
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    upfront = await shop.invoices(f"&subscription_id={made['id']}")
    for invoice in upfront:
        await adds_up(shop, invoice)
    usual = (await shop.invoices(f"&subscription_id={arrears['id']}"))[1:]
    billed = sum(signed(line) for one in upfront for line in one["line_items"]) - signed(upfront[0]["line_items"][-1])
    assert billed == sum(signed(line) for one in usual for line in one["line_items"])


async def test_prices_change_with_a_period_and_groups_are_counted_by_their_own(shop, clock):
    """April's advance goes by April's prices, and March is settled by its own."""
    made, product, _ = await sold(shop, uses=[("2026-02-10", 4), ("2026-03-10", 6)])
    path, new = f"/v1/subscriptions/{made['id']}/update", [{"type": "volume", "from": 0, "to": None, "amount": 7}]
    change = {"type": "update_prices", "payload": {"product_id": product["id"], "prices": new}}
    refused = await shop.api.post(path, change)
    assert (refused.status, "do_not_charge" in refused.json["message"]) == (422, True)
    assert (await shop.api.post(path, {**change, "calculation_method": "do_not_charge"})).status == 201
    clock.moment = datetime(2026, 5, 2, tzinfo=UTC)
    may, april, march = (await shop.invoices())[:3]
    assert shown([may, april, march]) == [
        [("true_up", 4, 200), ("advance", 4, 200)],
        [("true_up", 2, 100), ("advance", 6, 42)],
        [("true_up", 6, -42), ("advance", 0, 0)],
    ]


async def test_a_matrix_is_projected_group_by_group(shop):
    """2 by visa, 1 by another card."""
    cards = [{"currency": "EUR", "prices": BULK, "metering_filter": VISA}, {"currency": "EUR", "prices": VOLUME}]
    product = await shop.product(configurations=cards)
    customer = await shop.customer()
    await shop.subscription(customer, (product, START), starts_at="2026-02-01")
    for card in ("visa", "visa", "amex"):
        await shop.use(customer["id"], "2026-02-10T10:00:00+00:00", card=card)
    march = (await shop.invoices())[0]
    assert shown([march]) == [[("true_up", 3, 150), ("advance", 3, 150)]]
    await adds_up(shop, march)


async def test_a_line_opens_into_the_events_that_settle_it(shop):
    """The true-up lists February's events less what was advanced; the advance for March is one entry."""
    await sold(shop, uses=[("2026-01-10", 15), ("2026-02-10", 8)])
    (march, *_) = await shop.invoices()
    explained = (await shop.api.get(f"/v1/invoices/{march['id']}/events")).json
    true_up_line, advance = explained["lines"]
    assert [(one["reason"], one["amount"]) for one in true_up_line["entries"]] == [("already_billed", -600)]
    assert true_up_line["events"] == {"count": 1, "amount": 400, "exact_amount": 400}
    assert [(one["reason"], one["amount"]) for one in advance["entries"]] == [("advance", 400)]
    assert (advance["windows"], len(explained["data"])) == ([], 1)


async def test_a_correction_tells_the_line_that_settles_it(shop):
    """A version that moved February's usage moved the true-up of March's invoice."""
    _, product, customer = await sold(shop, uses=[("2026-02-10", 8)])
    (march, *_) = await shop.invoices()
    event = {"customer_id": customer["id"], "record_id": "x", "timestamp_us": 1_770_681_600_000_000}
    (old,) = await shop.usage.add(shop.api.world, {**event, "properties": b'{"n":1}'})
    await shop.usage.add(shop.api.world, {**event, "properties": b'{"n":5}'}, supersedes=old)
    versions = (await shop.api.get("/v1/events/call/x/versions")).json["data"]
    (line,) = next(one["moved"]["lines"] for one in versions if one["moved"] is not None)
    assert line["invoice_line_item_id"] == march["line_items"][0]["id"]
    assert (line["invoice_id"], line["product_id"]) == (march["id"], product["id"])
    after = (await shop.invoices())[0]["line_items"][0]
    assert line["exact_amount"] == (2 * 50 + 3 * 20) - 50
    assert signed(after) == 500 + 3 * 20


async def test_terms_come_back_and_plans_have_them(shop):
    """`end` is the usual of usage; a plan says it for the subscriptions from it."""
    made, product, customer = await sold(shop)
    assert made["products"][0]["payment_schedule"] == "start"
    usual = await shop.subscription(customer, product)
    assert usual["products"][0]["payment_schedule"] == "end"
    month = {"period": "months", "count": 1}
    plan = await shop.made(
        "/v1/plans", {"name": "p", "products": [{"id": product["id"], "payment_interval": month, **START}]}
    )
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "plan_id": plan["id"]}
    assert (await shop.made("/v2/subscriptions", body))["products"][0]["payment_schedule"] == "start"


@pytest.mark.parametrize(
    ("terms", "status"),
    [
        ({"payment_schedule": "sometimes"}, 400),
        ({"metering_interval_type": "full_database"}, 422),
        ({"metering_interval_type": "custom", "metering_interval": YEAR}, 422),
    ],
)
async def test_what_has_no_advance_is_refused(shop, terms, status):
    """Other windows than the period have no period before."""
    product, month = await shop.product(), {"period": "months", "count": 1}
    one = {"id": product["id"], "payment_interval": month, **START, **terms}
    body = {"customer_id": (await shop.customer())["id"], "starts_at": "2026-03-01", "products": [one]}
    assert (await shop.api.post("/v2/subscriptions", body)).status == status
