"""Coupons over HTTP: the catalog of them, and what open invoices show of those that subscriptions have."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.billing.api.test_figures_agree import adds_up, signed

MONTH, YEAR = {"period": "months", "count": 1}, {"period": "years", "count": 1}
TEN = {"name": "ten", "discount_percent": 10, "repeat": "forever"}
FIVE_EUR = {"name": "five", "discount_amount": 500, "currency": "EUR", "repeat": "once"}


def fee(amount):
    return [{"type": "fee", "amount": amount}]


async def updated(shop, subscription, kind, expected=201, **payload):
    path, more = f"/v1/subscriptions/{subscription['id']}/update", payload.pop("more", {})
    answer = await shop.api.post(path, {"type": kind, "payload": payload, **more})
    assert answer.status == expected, answer.text
    return answer.json


def amounts(invoice):
    return [signed(line) for line in invoice["line_items"]]


async def test_a_coupon_is_a_line_of_the_running_invoice(shop, clock):
    """10 % of 100.00 and of 50.00; removed, it is not of the next one, and February keeps what it had."""
    first, second = await shop.product(fee(10000), kind="flat_fee"), await shop.product(fee(5000), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), first, second)
    coupon = await shop.made("/v1/coupons", TEN)
    added = await updated(shop, made, "add_coupon", coupon_id=coupon["id"])
    assert (added["type"], added["coupon_id"], added["product_id"]) == ("add_coupon", coupon["id"], None)
    (march,) = await shop.invoices()
    assert (amounts(march), march["total_amount"]) == ([10000, 5000, -1500], 13500)
    line = march["line_items"][2]
    assert (line["name"], line["product_id"], line["coupon_id"]) == ("ten", None, coupon["id"])
    assert march["coupons"] == [
        {
            "id": coupon["id"],
            "name": "ten",
            "discount_amount": 1500,
            "discount_percent": 10,
            "line_item_ids": [one["id"] for one in march["line_items"][:2]],
        }
    ]
    assert march["discount_amount"] == 1500
    explained = (await shop.api.get(f"/v1/invoices/{march['id']}/events")).json["lines"][2]
    assert [(one["reason"], one["amount"]) for one in explained["entries"]] == [("discount", -1500)]
    await adds_up(shop, march)
    clock.moment = datetime(2026, 4, 5, tzinfo=UTC)
    removed = await updated(shop, made, "remove_coupon", coupon_id=coupon["id"])
    april, march = await shop.invoices()
    assert (amounts(april), amounts(march)) == ([10000, 5000], [10000, 5000, -1500])
    listed = (await shop.api.get(f"/v1/subscriptions/{made['id']}/updates")).json["data"]
    assert listed == [added, removed]
    clock.moment += timedelta(seconds=1)
    assert (await shop.api.get(f"/v2/subscriptions/{made['id']}")).json["coupons"] == []
    await updated(shop, made, "remove_coupon", 404, coupon_id=coupon["id"])
    await updated(shop, made, "add_coupon", coupon_id=coupon["id"])


async def test_a_subscription_begins_with_coupons_as_they_were(shop):
    """5.00 once off the first invoice, 10 % of one product for two months; changed since, they are what they were."""
    first, second = await shop.product(fee(10000), kind="flat_fee"), await shop.product(fee(5000), kind="flat_fee")
    once = await shop.made("/v1/coupons", FIVE_EUR)
    two = {**TEN, "repeat": "duration", "duration_count": 2, "duration_period": "months"}
    lasting = await shop.made("/v1/coupons", two)
    wanted = [{"id": once["id"]}, {"id": lasting["id"], "product_ids": [second["id"]]}]
    made = await shop.subscription(await shop.customer(), first, second, starts_at="2026-01-01", coupons=wanted)
    assert [one["id"] for one in made["coupons"]] == [once["id"]]  # The two months are over.
    assert (await shop.api.put(f"/v1/coupons/{lasting['id']}", {"name": "new"})).status == 200
    march, february, january = await shop.invoices()
    assert amounts(january) == [10000, 5000, -500, -483]
    assert amounts(february) == [10000, 5000, -500]
    assert amounts(march) == [10000, 5000]
    assert [line["name"] for line in february["line_items"]][2:] == ["ten"]


async def test_an_amount_never_makes_a_total_negative(shop):
    """And usage is discounted as it grows."""
    calls = await shop.product([{"type": "volume", "from": 0, "to": None, "amount": 300}])
    customer = await shop.customer()
    coupon = await shop.made("/v1/coupons", FIVE_EUR)
    await shop.subscription(customer, calls, coupons=[{"id": coupon["id"]}])
    assert amounts((await shop.invoices())[0]) == [0]
    await shop.use(customer["id"], "2026-03-10T00:00:00+00:00")
    assert amounts((await shop.invoices())[0]) == [300, -300]
    await shop.use(customer["id"], "2026-03-10T00:00:00+00:00")
    (march,) = await shop.invoices()
    assert amounts(march) == [600, -500]
    await adds_up(shop, march)
    file = (await shop.api.get(f"/v1/invoices/{march['id']}/events?format=csv")).text
    assert any(row.startswith(",") and ",discount," in row and "-500" in row for row in file.splitlines())


async def test_coupons_are_kept_changed_and_deleted(shop):
    """One that was given stays."""
    coupon = await shop.made("/v1/coupons", {**FIVE_EUR, "expiration_date": "2027-01-01", "redemption_limit": 1})
    one = f"/v1/coupons/{coupon['id']}"
    assert (await shop.api.get(one)).json == coupon
    assert (await shop.api.get("/v1/coupons?name=five")).json["data"] == [coupon]
    assert (coupon["expiration_date"], coupon["redemptions_count"]) == ("2027-01-01T00:00:00.000Z", 0)
    product = await shop.product(fee(10000), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), product, coupons=[{"id": coupon["id"]}])
    await updated(shop, made, "add_coupon", 409, coupon_id=coupon["id"])
    assert (await shop.api("DELETE", one)).status == 409
    other = await shop.subscription(await shop.customer(), product)
    assert "redemption_limit" in (await updated(shop, other, "add_coupon", 422, coupon_id=coupon["id"]))["message"]
    changed = await shop.api.put(one, {"redemption_limit": None, "expiration_date": "2026-01-01"})
    assert (changed.json["redemption_limit"], changed.json["redemptions_count"]) == (None, 1)
    assert "expired" in (await updated(shop, other, "add_coupon", 422, coupon_id=coupon["id"]))["message"]
    unused = await shop.made("/v1/coupons", TEN)
    assert (await shop.api("DELETE", f"/v1/coupons/{unused['id']}")).status == 204
    await updated(shop, other, "add_coupon", 404, coupon_id=unused["id"])


@pytest.mark.parametrize(
    "change",
    [
        {"discount_amount": 5},
        {"discount_percent": None},
        {"discount_percent": 0},
        {"discount_percent": 100.5},
        {"discount_percent": None, "discount_amount": 5},
        {"discount_percent": None, "discount_amount": 0, "currency": "EUR"},
        {"repeat": "sometimes"},
        {"repeat": "duration"},
        {"duration_count": 2},
        {"name": None},
        {"expiration_date": "soon"},
        {"redemption_limit": 0},
    ],
)
async def test_what_is_no_coupon_is_refused(shop, change):
    """With 400."""
    answer = await shop.api.post("/v1/coupons", {**TEN, **change})
    assert answer.status == 400, answer.text


async def test_coupons_of_another_kind_are_refused(shop):
    """Another currency, products that it is not for or that there are not, a closed period."""
    product, other = await shop.product(fee(100), kind="flat_fee"), await shop.product(fee(100), kind="flat_fee")
    made = await shop.subscription(await shop.customer(), product, starts_at="2026-01-01")
    dollars = await shop.made("/v1/coupons", {**FIVE_EUR, "currency": "USD"})
    await updated(shop, made, "add_coupon", 422, coupon_id=dollars["id"])
    own = await shop.made("/v1/coupons", {**TEN, "product_ids": [product["id"]]})
    await updated(shop, made, "add_coupon", 422, coupon_id=own["id"], product_ids=[other["id"]])
    await updated(shop, made, "add_coupon", 404, coupon_id=own["id"], product_ids=["itm_x"])
    await updated(shop, made, "add_coupon", 422, coupon_id=own["id"], more={"apply_at": "2026-02-10"})
    await updated(shop, made, "add_coupon", 400)
    assert (await shop.api.post("/v1/coupons", {**TEN, "product_ids": ["itm_x"]})).status == 404
    assert amounts((await shop.invoices())[0]) == [100]
