"""Balances of credits over HTTP: opened, topped up, granted by subscriptions, drawn by usage, told when low."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.credits.watcher import CreditWatcher
from metering.store.chains import ChainStore
from tests.billing.api.test_figures_agree import adds_up

MONTH = {"period": "months", "count": 1}
PACKS = [{"type": "bundle", "amount": 1000, "unit_count": 50}]


@pytest.fixture
async def two(shop):
    """A count and a sum."""
    calls = await shop.aggregator(name="calls")
    tokens = await shop.aggregator(name="tokens", operation="sum", property="n")
    return [calls["id"], tokens["id"]]


async def a_product(shop, ids, **more):
    pairs = [{"aggregator_id": one, "weight": weight} for one, weight in zip(ids, (5, Decimal("0.5")), strict=False)]
    pairs = [{**one, "weight": float(one["weight"])} for one in pairs]
    prices = [{"currency": "EUR", "prices": PACKS}]
    body = {"name": "Credits", "type": "credit", "credit_aggregators": pairs, "price_configurations": prices, **more}
    return await shop.made("/v1/products", body)


def of(customer, product, what=""):
    return f"/v1/customers/{customer['id']}/credits/{product['id']}{what}"


async def balance(shop, customer, product, query=""):
    answer = await shop.api.get(of(customer, product) + query)
    assert answer.status == 200, answer.text
    return answer.json["current_balance"]


async def moves(shop, customer, product):
    found = (await shop.api.get(of(customer, product, "/transactions"))).json["data"]
    return [(one["type"], one["credit_count"], one["balance"]) for one in found][::-1]


@pytest.fixture
def watcher(registry, store, clock):
    return CreditWatcher(registry, store, ChainStore(store).applied, clock)


async def told(shop):
    found = (await shop.api.get("/v1/webhooks/messages")).json["data"]
    return sorted((one["event_type"], one["data"]["current_balance"]) for one in found)


@pytest.mark.slow
async def test_usage_draws_on_what_was_given(shop, clock, two):
    """5 a call and half a credit a token, from when the credits were given; corrections move it."""
    customer, product = await shop.customer(external_id="acme"), await a_product(shop, two)
    await shop.use("acme", "2026-03-19T00:00:00+00:00", n=1000)
    body = {"product_id": product["id"], "balance": 100, "low_count_threshold": 20, "name": "AI"}
    opened = await shop.made(f"/v1/customers/{customer['id']}/credits", body)
    assert (opened["current_balance"], opened["name"], opened["low_count_threshold"]) == (100, "AI", 20)
    clock.moment += timedelta(hours=2)
    (event,) = await shop.usage.add(
        shop.api.world,
        {"customer_id": "acme", "record_id": "x", "timestamp_us": 1_774_010_000_000_000, "properties": b'{"n":10}'},
    )
    assert await balance(shop, customer, product) == 90
    stood = (await shop.api.get(of(customer, product))).headers["X-Usage-Cutoff"]
    corrected = {"customer_id": "acme", "record_id": "x", "timestamp_us": 1_774_010_000_000_000}
    await shop.usage.add(shop.api.world, {**corrected, "properties": b'{"n":20}'}, supersedes=event)
    assert await balance(shop, customer, product) == 85
    assert await balance(shop, customer, product, f"?as_of={stood}") == 90
    clock.moment += timedelta(hours=1)
    added = await shop.made(of(customer, product, "/topup"), {"credit_count": 7.5, "expires_at": "2026-04-01"})
    assert (added["type"], added["balance"], added["id"][:4]) == ("topup", Decimal("92.5"), "cdt_")
    drawn = {"usage_retained": 2, "event_id": "e1"}
    once = await shop.made(of(customer, product, "/usage"), drawn)
    assert (once["credit_count"], once["event_id"]) == (-2, "e1")
    assert (await shop.made(of(customer, product, "/usage"), drawn))["id"] == once["id"]
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    assert await moves(shop, customer, product) == [
        ("topup", 100, 100),
        ("usage", -15, 85),
        ("topup", Decimal("7.5"), Decimal("92.5")),
        ("usage", -2, Decimal("90.5")),
        ("expiration", Decimal("-5.5"), 85),
    ]
    listed = (await shop.api.get(f"/v1/customers/{customer['id']}/credits")).json
    assert [one["current_balance"] for one in listed["data"]] == [85]


@pytest.mark.parametrize(("mode", "first"), [("prorated", 50), ("full_allowance", 100)])
async def test_periods_grant_credits_and_are_billed_in_packs(shop, clock, two, mode, first):
    """2 packs of 50 a month at 10.00; the first month has half its days; what is left ends with its month."""
    customer, product = await shop.customer(), await a_product(shop, two, credits_grant_mode=mode)
    clock.moment = datetime(2026, 4, 20, tzinfo=UTC)
    terms = {"count": 100, "expire_credits_at_end_of_period": True}
    made = await shop.subscription(customer, (product, terms), starts_at="2026-04-16")
    shown = made["products"][0]
    assert (shown["credits_grant_mode"], shown["expire_credits_at_end_of_period"]) == (mode, True)
    await shop.use(customer["id"], "2026-04-17T00:00:00+00:00", "2026-04-18T00:00:00+00:00", n=0)
    assert await balance(shop, customer, product) == first - 10
    (april,) = await shop.invoices()
    assert [(line["units_count"], line["amount"]) for line in april["line_items"]] == [(100, 1000)]
    clock.moment = datetime(2026, 5, 2, tzinfo=UTC)
    assert await moves(shop, customer, product) == [
        ("grant", first, first),
        ("usage", -10, first - 10),
        ("expiration", 10 - first, 0),
        ("grant", 100, 100),
    ]


@pytest.mark.slow
async def test_it_is_told_once_when_credits_run_low_and_out(shop, clock, two, watcher):
    """Also when corrections move usage back and forth; again after more came in."""
    customer, product = await shop.customer(external_id="acme"), await a_product(shop, two, low_credits_threshold=20)
    path = f"/v1/customers/{customer['id']}/credits"
    await shop.made(path, {"product_id": product["id"], "balance": 30})
    await watcher.look()
    assert await told(shop) == []
    clock.moment += timedelta(hours=2)
    event = {"customer_id": "acme", "record_id": "x", "timestamp_us": 1_774_010_000_000_000}
    (first,) = await shop.usage.add(shop.api.world, {**event, "properties": b'{"n":20}'})
    for _ in range(2):
        await watcher.look()
    assert await told(shop) == [("credit.low_balance", 15)]
    (second,) = await shop.usage.add(shop.api.world, {**event, "properties": b'{"n":0}'}, supersedes=first)
    await watcher.look()
    await shop.usage.add(shop.api.world, {**event, "properties": b'{"n":80}'}, supersedes=second)
    for _ in range(2):
        await watcher.look()
    assert await told(shop) == [("credit.balance_at_zero", -15), ("credit.low_balance", 15)]
    clock.moment += timedelta(hours=1)
    await shop.made(of(customer, product, "/topup"), {"credit_count": 25})
    await watcher.look()
    assert await told(shop) == [
        ("credit.balance_at_zero", -15),
        ("credit.low_balance", 10),
        ("credit.low_balance", 15),
    ]


async def test_what_cannot_be_is_refused(shop, two):
    """Nothing is there twice, packs are whole, and what is used is kept."""
    customer, product = await shop.customer(), await a_product(shop, two)
    path = f"/v1/customers/{customer['id']}/credits"
    assert (await shop.api.get(of(customer, product))).status == 404
    assert (await shop.api.post(path, {"product_id": "itm_x"})).status == 404
    assert (await shop.api.post(path, {"product_id": product["id"], "balance": -1})).status == 400
    peak = await shop.aggregator(operation="max", property="n")
    other = await a_product(shop, [peak["id"]])
    assert (await shop.api.post(path, {"product_id": other["id"]})).status == 422
    await shop.made(path, {"product_id": product["id"]})
    assert (await shop.api.post(path, {"product_id": product["id"]})).status == 409
    for what, body in (
        ("/topup", {}),
        ("/topup", {"credit_count": 0}),
        ("/topup", {"credit_count": 1, "expires_at": "2026-01-01"}),
        ("/usage", {"usage_retained": "x"}),
    ):
        assert (await shop.api.post(of(customer, product, what), body)).status == 400
    one = {"id": product["id"], "payment_interval": MONTH, "count": 75}
    body = {"customer_id": customer["id"], "starts_at": "2026-03-01", "products": [one]}
    assert (await shop.api.post("/v2/subscriptions", body)).status == 400
    plain = await shop.product()
    body["products"] = [{"id": plain["id"], "payment_interval": MONTH, "credits_expiration_in_days": 3}]
    assert (await shop.api.post("/v2/subscriptions", body)).status == 422
    assert (await shop.api("DELETE", f"/v1/products/{product['id']}")).status == 409
    assert (await shop.api("DELETE", f"/v1/customers/{customer['id']}")).status == 409


async def test_what_is_bought_is_a_line_of_the_open_invoice(shop, clock, two):
    """2 packs by a price, 30 credits for an amount; explained, and discounted as the product is."""
    customer, product = await shop.customer(), await a_product(shop, two)
    coupon = await shop.made("/v1/coupons", {"name": "ten", "discount_percent": 10, "repeat": "forever"})
    await shop.subscription(customer, (product, {"count": 50}), coupons=[{"id": coupon["id"]}])
    clock.moment += timedelta(hours=1)
    price = {"price_id": product["price_configurations"][0]["id"]}
    bought = await shop.made(of(customer, product, "/purchase"), {"credit_count": 100, **price})
    (march,) = await shop.invoices()
    assert bought == {"invoice_id": march["id"], "current_balance": 150}
    clock.moment += timedelta(hours=1)
    await shop.made(of(customer, product, "/purchase"), {"credit_count": 30, "amount_excluding_tax": 499})
    (march,) = await shop.invoices()
    lines = [(line["units_count"], line["amount"], line["entry_type"]) for line in march["line_items"]]
    assert lines == [(50, 1000, "debit"), (100, 2000, "debit"), (30, 499, "debit"), (1, 350, "credit")]
    await adds_up(shop, march)
    assert len({line["id"] for line in march["line_items"]}) == 4
    assert [kind for kind, _, _ in await moves(shop, customer, product)] == ["grant", "purchase", "purchase"]
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    assert [len(one["line_items"]) for one in await shop.invoices()] == [2, 4]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"credit_count": 50}, 400),
        ({"credit_count": 50, "amount_excluding_tax": 1, "price_id": "x"}, 400),
        ({"credit_count": 50, "price_id": "pri_x"}, 404),
        ({"credit_count": 30}, 400),
        ({"credit_count": 0, "amount_excluding_tax": 1}, 400),
    ],
)
async def test_what_cannot_be_bought_is_refused(shop, two, body, status):
    """No price, several, another one, no whole packs; and nobody would bill it without a subscription."""
    customer, product = await shop.customer(), await a_product(shop, two)
    await shop.made(f"/v1/customers/{customer['id']}/credits", {"product_id": product["id"]})
    alone = await shop.api.post(of(customer, product, "/purchase"), {"credit_count": 1, "amount_excluding_tax": 1})
    assert (alone.status, "subscribe to it" in alone.json["message"]) == (422, True)
    await shop.subscription(customer, product)
    own = {"price_id": product["price_configurations"][0]["id"]} if body == {"credit_count": 30} else {}
    answer = await shop.api.post(of(customer, product, "/purchase"), {**body, **own})
    assert answer.status == status, answer.text
