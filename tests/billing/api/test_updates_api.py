"""Updates of subscriptions over HTTP: what open invoices show of them, and what is refused."""

from datetime import UTC, datetime

import pytest

MONTH, YEAR = {"period": "months", "count": 1}, {"period": "years", "count": 1}


def fee(amount):
    return [{"type": "fee", "amount": amount}]


def volume(amount):
    return [{"type": "volume", "from": 0, "to": None, "amount": amount}]


async def updated(shop, subscription, kind, product, *, expected=201, **more):
    """Send an update; terms of its payload are `payload`."""
    payload = {"product_id": product["id"], **more.pop("payload", {})}
    body = {"type": kind, "payload": payload, **more}
    answer = await shop.api.post(f"/v1/subscriptions/{subscription['id']}/update", body)
    assert answer.status == expected, answer.text
    return answer


def amounts(invoice):
    """Give the signed amounts of the lines."""
    return [line["amount"] * (-1 if line["entry_type"] == "credit" else 1) for line in invoice["line_items"]]


async def test_a_count_changes_from_now_on(shop, clock):
    """On 20 March 12 of 31 days are left: 3 seats at 31.00 more are 36.00, and all 5 from April on."""
    seats = await shop.product(volume(3100), kind="seat")
    made = await shop.subscription(await shop.customer(), (seats, {"count": 2}))
    answer = await updated(shop, made, "update_count", seats, payload={"count": 5}, application_schedule="immediately")
    assert answer.json == {
        "id": answer.json["id"],
        "subscription_id": made["id"],
        "product_id": seats["id"],
        "coupon_id": None,
        "product_ids": None,
        "type": "update_count",
        "effective_at": "2026-03-20T12:00:00.000Z",
        "calculation_method": "pro_rata",
        "precision": "calendar_days",
        "count": 5,
        "prices": None,
        "price_groups": None,
        "cutoff": None,
        "reason": None,
        "created_at": "2026-03-20T12:00:00.000Z",
    }
    assert answer.json["id"].startswith("supd_")
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    april, march = await shop.invoices()
    assert (amounts(march), amounts(april)) == ([6200, 3600], [15500])
    assert march["total_amount"] == 9800
    assert march["line_items"][1]["tiers"] == [{"from": 2, "to": 5, "quantity": 3, "amount": 3600}]
    starts = [line["period_starts_at"] for line in march["line_items"]]
    assert starts == ["2026-03-01T00:00:00.000Z", "2026-03-20T12:00:00.000Z"]
    assert {line["period_ends_at"] for line in march["line_items"]} == {"2026-04-01T00:00:00.000Z"}
    assert len({line["id"] for line in march["line_items"]}) == 2
    assert (await shop.api.get(f"/v2/subscriptions/{made['id']}")).json["products"][0]["count"] == 5
    listed = await shop.api.get(f"/v1/subscriptions/{made['id']}/updates")
    assert listed.json == {"data": [answer.json]}


async def test_a_count_changes_on_a_date_and_by_the_millisecond(shop, clock):
    """Half of a month of 30 days is left at midnight of the 16th; before that the subscription shows the old count."""
    seats = await shop.product(volume(3000), kind="seat")
    made = await shop.subscription(await shop.customer(), (seats, {"count": 1}))
    later = {"application_schedule": "scheduled", "apply_at": "2026-04-16", "precision": "milliseconds"}
    await updated(shop, made, "update_count", seats, payload={"count": 2}, **later)
    path = f"/v2/subscriptions/{made['id']}"
    assert (await shop.api.get(path)).json["products"][0]["count"] == 1
    clock.moment = datetime(2026, 4, 20, tzinfo=UTC)
    april, march = await shop.invoices()
    assert (amounts(march), amounts(april)) == ([3000], [3000, 1500])
    assert (await shop.api.get(path)).json["products"][0]["count"] == 2


@pytest.mark.parametrize(("method", "added", "removed"), [("pro_rata", 1200, -1200), ("pay_in_full", 3100, -3100)])
async def test_products_come_and_go(shop, clock, method, added, removed):
    """What is left of the period is charged or given back: 12 of 31 days, or all of it."""
    old, new = await shop.product(fee(3100), kind="flat_fee"), await shop.product(fee(3100), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), old)
    documented = {"billing_interval_period": "months", "billing_interval_count": 1, "type": "fee", "count": 1}
    await updated(shop, made, "add_product", new, payload=documented, calculation_method=method)
    await updated(shop, made, "remove_product", old, calculation_method=method)
    (march,) = await shop.invoices()
    assert amounts(march) == [3100, removed, added]
    shown = (await shop.api.get(f"/v2/subscriptions/{made['id']}")).json["products"]
    assert [one["id"] for one in shown] == [new["id"]]
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    assert amounts((await shop.invoices())[0]) == [3100]
    await updated(shop, made, "add_product", old, payload={"payment_interval": MONTH}, calculation_method="pay_in_full")
    assert amounts((await shop.invoices())[0]) == [3100, 3100]


async def test_an_added_product_has_invoices_from_then_on(shop, clock):
    """A yearly fee beside monthly ones: no invoice is about the time before it, nor after it has gone."""
    old, new = await shop.product(fee(100), kind="flat_fee"), await shop.product(fee(36500), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), old, starts_at="2024-01-01")
    await updated(shop, made, "add_product", new, payload={"payment_interval": YEAR})
    yearly = [one for one in await shop.invoices("&take=100") if amounts(one) != [100]]
    assert [(one["period_starts_at"], amounts(one)) for one in yearly] == [("2026-03-20T12:00:00.000Z", [28700])]
    clock.moment = datetime(2026, 6, 1, tzinfo=UTC)
    await updated(shop, made, "remove_product", new, calculation_method="do_not_charge")
    clock.moment = datetime(2027, 6, 1, tzinfo=UTC)
    yearly = [one for one in await shop.invoices("&take=100") if amounts(one) != [100]]
    assert [(one["period_ends_at"], amounts(one)) for one in yearly] == [("2026-06-01T00:00:00.000Z", [28700])]


async def test_an_added_product_counts_usage_from_then_on(shop, clock):
    """And a removed one until then."""
    calls, more = await shop.product(name="calls"), await shop.product(volume(7), name="more")
    customer = await shop.customer()
    made = await shop.subscription(customer, calls)
    await shop.use(customer["id"], "2026-03-19T00:00:00+00:00", "2026-03-21T00:00:00+00:00")
    await updated(shop, made, "add_product", more, payload={"payment_interval": MONTH})
    await updated(shop, made, "remove_product", calls)
    clock.moment = datetime(2026, 3, 25, tzinfo=UTC)
    (march,) = await shop.invoices()
    assert [(line["name"], line["units_count"], line["amount"]) for line in march["line_items"]] == [
        ("calls", 1, 5),
        ("more", 1, 7),
    ]
    assert (await shop.api.get(f"/v1/invoices/{march['id']}/events")).status == 200


async def test_usage_is_charged_by_the_prices_of_its_time(shop, clock):
    """Pro rata from the instant on, in full for the running period, free of it from the next one on."""
    customer = await shop.customer()
    expected = {"pro_rata": ([5, 100], [100]), "pay_in_full": ([200], [100]), "do_not_charge": ([10], [100])}
    made = {}
    for method in expected:
        calls = await shop.product()
        made[method] = await shop.subscription(customer, calls)
        await updated(
            shop, made[method], "update_prices", calls, payload={"prices": volume(100)}, calculation_method=method
        )
    await shop.use(
        customer["id"], "2026-03-19T00:00:00+00:00", "2026-03-21T00:00:00+00:00", "2026-04-01T00:00:00+00:00"
    )
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    for method, (of_march, of_april) in expected.items():
        april, march = await shop.invoices(f"&subscription_id={made[method]['id']}")
        assert (amounts(march), amounts(april)) == (of_march, of_april)
        explained = await shop.api.get(f"/v1/invoices/{march['id']}/events")
        assert explained.status == 200, explained.text


async def test_prices_of_seats_change_for_the_share_that_is_left(shop):
    """31.00 to 62.00 for 2 seats with 12 of 31 days left."""
    seats = await shop.product(volume(3100), kind="seat")
    made = await shop.subscription(await shop.customer(), (seats, {"count": 2}))
    await updated(shop, made, "update_prices", seats, payload={"prices": volume(6200)})
    (march,) = await shop.invoices()
    assert amounts(march) == [6200, 2400]


async def test_several_updates_are_made_together_or_not_at_all(shop):
    """The second stands on the first; one that is refused takes the others with it."""
    seats, more = await shop.product(volume(3100), kind="seat"), await shop.product(fee(3100), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), (seats, {"count": 2}))
    path = f"/v1/subscriptions/{made['id']}/update-many"
    add = {"type": "add_product", "payload": {"product_id": more["id"], "payment_interval": MONTH}}
    count = {"type": "update_count", "payload": {"product_id": more["id"], "count": 3}}
    missing = {"type": "remove_product", "payload": {"product_id": "itm_x"}}
    assert (await shop.api.post(path, {"updates": [add, missing]})).status == 404
    assert amounts((await shop.invoices())[0]) == [6200]
    both = await shop.api.post(path, {"updates": [add, count], "calculation_method": "pay_in_full"})
    assert (both.status, [one["type"] for one in both.json]) == (201, ["add_product", "update_count"])
    assert amounts((await shop.invoices())[0]) == [6200, 9300]
    assert (await shop.api.post(path, {"updates": []})).paths == [["updates"]]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"type": "add_coupon"}, 400),
        ({"type": "upgrade"}, 400),
        ({"payload": None}, 400),
        ({"payload": {"count": 3}}, 400),
        ({"payload": {"product_id": "itm_x", "count": 3}}, 404),
        ({"count": None}, 400),
        ({"count": -1}, 400),
        ({"calculation_method": "guess"}, 400),
        ({"precision": "weeks"}, 400),
        ({"application_schedule": "scheduled"}, 400),
        ({"application_schedule": "sometimes"}, 400),
        ({"apply_at": "soon"}, 400),
        ({"apply_at": "2026-01-01"}, 400),
        ({"apply_at": "2026-02-28"}, 422),
        ({"payment_schedule": "custom"}, 422),
        ({"type": "update_prices"}, 400),
        ({"type": "update_prices", "prices": fee(1)}, 400),
        ({"type": "add_product", "payment_interval": MONTH}, 409),
    ],
)
async def test_what_cannot_be_is_refused(shop, change, status):
    """And changes nothing."""
    seats = await shop.product(volume(3100), kind="seat")
    made = await shop.subscription(await shop.customer(), (seats, {"count": 2}), starts_at="2026-02-01")
    inner = {name: value for name, value in change.items() if name in {"count", "prices", "payment_interval"}}
    outer = {name: value for name, value in change.items() if name not in inner}
    payload = {"product_id": seats["id"], "count": 3, **inner}
    body = {"type": "update_count", "payload": payload, **outer}
    answer = await shop.api.post(f"/v1/subscriptions/{made['id']}/update", body)
    assert answer.status == status, answer.text
    assert (await shop.api.get(f"/v1/subscriptions/{made['id']}/updates")).json == {"data": []}


async def test_what_is_counted_or_has_ended_is_refused(shop):
    """A count that events say, prices that a clamp ties together, a second removal, and an ended subscription."""
    calls, whole = await shop.product(), await shop.product()
    terms = (calls, {"min_amount": 5}), (whole, {"metering_interval_type": "full_database"})
    made = await shop.subscription(await shop.customer(), *terms)
    await updated(shop, made, "update_count", calls, payload={"count": 3}, expected=422)
    for product in (calls, whole):
        await updated(shop, made, "update_prices", product, payload={"prices": volume(1)}, expected=422)
    prices = {"payload": {"prices": volume(1)}, "calculation_method": "do_not_charge"}
    await updated(shop, made, "update_prices", calls, **prices)
    await updated(shop, made, "remove_product", calls, apply_at="2026-03-25")
    await updated(shop, made, "remove_product", calls, expected=409)
    await updated(shop, made, "update_prices", calls, apply_at="2026-03-26", expected=404, **prices)
    assert (await shop.api.post("/v1/subscriptions/sub_x/update-many", {"updates": [{}]})).status == 400
    await shop.api.post(f"/v1/subscriptions/{made['id']}/cancel", {})
    await updated(shop, made, "remove_product", whole, expected=422)


async def test_what_is_removed_is_given_back_though_nothing_else_is_paid_at_its_interval(shop):
    """The period ends with it; what is left of the whole one is given back all the same: 12 of 31 days."""
    fee_only = await shop.product(fee(3100), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), fee_only)
    await updated(shop, made, "remove_product", fee_only)
    (march,) = await shop.invoices()
    assert (march["period_ends_at"], amounts(march)) == ("2026-03-20T12:00:00.000Z", [3100, -1200])


async def test_prices_for_a_whole_period_that_has_others_within_are_refused(shop, clock):
    """The others would take over again on their day, and for ever."""
    calls = await shop.product()
    made = await shop.subscription(await shop.customer(), calls)
    await updated(shop, made, "update_prices", calls, payload={"prices": volume(7)})
    clock.moment = datetime(2026, 3, 25, tzinfo=UTC)
    late = {"payload": {"prices": volume(9)}, "calculation_method": "pay_in_full"}
    refused = await updated(shop, made, "update_prices", calls, expected=422, **late)
    assert "2026-03-20T12:00:00.000Z" in refused.json["message"]
    await updated(shop, made, "update_prices", calls, payload={"prices": volume(9)})


VISA = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}


async def test_a_matrix_takes_the_place_of_the_prices_of_a_subscription(shop, clock):
    """From its start, or from an update on; each event is charged by the groups of its time."""
    calls = await shop.product()
    groups = [{"metering_filter": VISA, "prices": volume(100)}, {"metering_filter": None, "prices": volume(1)}]
    customer = await shop.customer()
    made = await shop.subscription(customer, (calls, {"price_groups": groups}))
    shown = made["products"][0]
    assert (shown["prices"], [one["prices"] for one in shown["price_groups"]]) == (None, [volume(100), volume(1)])
    assert shown["price_configuration_ids"] == []
    turned = [{"metering_filter": {**VISA, "name": "theirs"}, "prices": volume(1000)}]
    answer = await updated(shop, made, "update_prices", calls, payload={"price_groups": turned})
    assert (answer.json["prices"], answer.json["price_groups"][0]["prices"]) == (None, volume(1000))
    for day, card in ((10, "visa"), (10, "amex"), (25, "visa"), (25, "amex")):
        await shop.use(customer["id"], f"2026-03-{day}T00:00:00+00:00", card=card)
    clock.moment = datetime(2026, 3, 26, tzinfo=UTC)
    (march,) = await shop.invoices()
    assert amounts(march) == [101, 1000]
    events = (await shop.api.get(f"/v1/invoices/{march['id']}/events")).json["data"]
    named = [(one["billing"]["price_group"]["name"], one["billing"]["amount"]) for one in events]
    assert named == [("visa", 100), (None, 1), ("theirs", 1000)]
    assert len({one["billing"]["price_group"]["id"] for one in events}) == 3


@pytest.mark.parametrize(
    ("terms", "status", "path"),
    [
        ({"price_groups": [{"prices": volume(1)}, {"prices": volume(1)}]}, 400, ["products", 0, "price_groups", 1]),
        ({"price_groups": []}, 400, ["price_groups"]),
        ({"price_groups": [{"prices": []}]}, 400, ["products", 0, "price_groups", 0, "prices"]),
        ({"price_groups": [{"prices": volume(1)}], "prices": volume(1)}, 400, ["products", 0, "price_groups"]),
        ({"price_groups": [{"prices": volume(1), "metering_filter": VISA}], "min_committed_count": 1}, 422, None),
    ],
)
async def test_a_matrix_that_cannot_be_rated_is_refused(shop, terms, status, path):
    """With the place of the fault."""
    product = await shop.product()
    one = {"id": product["id"], "payment_interval": MONTH, **terms}
    body = {"customer_id": (await shop.customer())["id"], "starts_at": "2026-03-01", "products": [one]}
    answer = await shop.api.post("/v2/subscriptions", body)
    assert answer.status == status, answer.text
    assert path is None or answer.paths[0][-len(path) :] == path


async def test_what_counts_no_events_has_no_matrix(shop):
    """A count has no cards; and prices are sent in one way."""
    seats = await shop.product(volume(3100), kind="seat")
    made = await shop.subscription(await shop.customer(), seats)
    groups = [{"metering_filter": VISA, "prices": volume(1)}]
    await updated(shop, made, "update_prices", seats, payload={"price_groups": groups}, expected=400)
    both = {"price_groups": [{"prices": volume(1)}], "prices": volume(1)}
    await updated(shop, made, "update_prices", seats, payload=both, expected=400)
    await updated(shop, made, "update_prices", seats, payload={"price_groups": [{"prices": volume(1)}]})
