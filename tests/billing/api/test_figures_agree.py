"""One random world, and every way of asking for its figures: they agree to the unit, at one cut-off."""

import csv
import io
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from billing.marginal.model import CountedEvent
from billing.marginal.prices import marginal_prices
from metering.store.chains import ChainStore
from metering.timestamps import microseconds
from tests.billing.api.conftest import NOW, OPEN
from tests.billing.api.test_simulations import begun, ended, running
from tests.metering.api.conftest import Usage

# What is counted and rated does not depend on which database the registry is.
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("registry", ["sqlite"], indirect=True)]
YEAR = {"period": "years", "count": 1}
YEARLY = {"metering_interval_type": "custom", "metering_interval": YEAR, "bill_usage_difference": True}
EVER = {"metering_interval_type": "subscription_duration", "bill_usage_difference": True}
FOR_GOOD = {"metering_interval_type": "full_database"}
VISA = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}
GRADUATED = [
    {"type": "volume", "from": 0, "to": 10, "amount": 50},
    {"type": "volume", "from": 10, "to": None, "amount": 20},
]
BULK = [{"type": "bulk", "to": 40, "amount": 50}, {"type": "bulk", "to": None, "amount": 30}]
PACKS = [
    {"type": "packaged", "from": 0, "to": None, "amount": 600, "unit_count": 20, "on_bucket_incomplete": "pay_in_full"}
]
EACH = [
    {"type": "bps", "from": 0, "to": 30, "percentage": 10, "per_unit_floor": 2, "per_unit_cap": 9, "per_unit_fee": 1},
    {"type": "bps", "from": 30, "to": None, "percentage": 1, "per_unit_fee": 2},
]
IN_FULL = [
    {"type": "volume", "from": 0, "to": 5, "amount": 7.3, "on_tier_incomplete": "pay_in_full"},
    {"type": "volume", "from": 5, "to": None, "amount": 0.7},
]
MATRIX = [
    {"currency": "EUR", "prices": BULK, "metering_filter": VISA},
    {"currency": "EUR", "prices": GRADUATED},
]
SOLD = [
    ({"operation": "count"}, GRADUATED, {}),
    ({"operation": "sum", "property": "n"}, GRADUATED, {"min_amount": 700, "max_amount": 2500}),
    ({"operation": "sum", "property": "n", "allow_negative_values": True}, IN_FULL, {}),
    ({"operation": "sum", "property": "n"}, PACKS, {"min_committed_count": 50}),
    ({"operation": "sum", "property": "n"}, EACH, {}),
    ({"operation": "count"}, MATRIX, {}),
    ({"operation": "sum", "property": "n"}, MATRIX, {"min_amount": 100}),
    ({"operation": "sum", "formula_sql": "if(card = 'visa', n * 2, n)"}, BULK, {}),
    ({"operation": "max", "property": "n"}, GRADUATED, {}),
    ({"operation": "min", "property": "n"}, GRADUATED, {}),
    ({"operation": "average", "property": "n"}, GRADUATED, {}),
    ({"operation": "latest", "property": "n"}, GRADUATED, {}),
    ({"operation": "latest", "property": "n"}, EACH, {}),
    ({"operation": "unique", "property": "n"}, GRADUATED, {}),
    ({"operation": "weighted_sum", "property": "n"}, GRADUATED, {}),
    ({"operation": "sum", "property": "n"}, GRADUATED, YEARLY),
    ({"operation": "sum", "property": "n"}, BULK, EVER),
    ({"operation": "sum", "property": "n"}, EACH, EVER),
    ({"operation": "max", "property": "n"}, GRADUATED, YEARLY),
    ({"operation": "sum", "property": "n"}, GRADUATED, FOR_GOOD),
    ({"operation": "sum", "property": "n"}, GRADUATED, {"payment_schedule": "start", "min_committed_count": 5}),
    ({"operation": "count"}, MATRIX, {"payment_schedule": "start", "min_amount": 30}),
    ({"operation": "max", "property": "n"}, EACH, {}),
    ({"operation": "average", "property": "n"}, EACH, EVER),
    ({"operation": "unique", "property": "card"}, MATRIX, {}),
    ({"operation": "weighted_sum", "property": "n"}, MATRIX, {}),
    ({"operation": "weighted_sum", "formula_sql": "n / 3"}, GRADUATED, FOR_GOOD),
]
UPFRONT = (20, 21)
"""Places in `SOLD`: billed when the period starts, settled in the next."""
SIMULATED = (1, 4, 6)
"""Places in `SOLD`: clamped, charged event by event, a matrix."""
GROUPS = [{"metering_filter": VISA, "prices": BULK}, {"metering_filter": None, "prices": GRADUATED}]
OVERRIDDEN = {("b", number): {"price_groups": GROUPS} for number in (1, 13, 15)}
"""Prices of a subscription's own, by customer and place in `SOLD`."""
COUPONS = [{"discount_percent": 12.5}, {"discount_amount": 333, "currency": "EUR"}]
FEBRUARY, MARCH = "start_date=2026-02-01&end_date=2026-03-01", "start_date=2026-03-01&end_date=2026-04-01"
START = datetime(2026, 2, 1, tzinfo=UTC)


def an_event(rng):
    """Give a random event of February or March; some hold no number."""
    record = {"n": rng.choice([1, 2, 3, 5, 8, 13, -4, "6", "none"]), "card": rng.choice(["visa", "amex"])}
    return START + timedelta(hours=rng.randrange(24 * 46)), record


async def a_world(shop, seed, events=40):
    """Sell everything to three customers, two by the catalog and one by a price book, and use it."""
    rng = random.Random(seed)
    book = await shop.made("/v1/price-books", {"name": "partners"})
    products = []
    for counted, rows, terms in SOLD:
        aggregator = await shop.aggregator(**{"name": str(len(products)), **counted})
        configurations = rows if rows is MATRIX else [{"currency": "EUR", "prices": rows}]
        if rows is GRADUATED:
            configurations = [*configurations, {"currency": "EUR", "prices": BULK, "price_book_id": book["id"]}]
        made = await shop.product(configurations=configurations, aggregator_id=aggregator["id"])
        products.append((made, terms))
    customers = []
    for name in ("a", "b", "c"):
        more = {"price_book_id": book["id"]} if name == "c" else {}
        customers.append(await shop.customer(external_id=name, **more))
        own = [(made, {**terms, **OVERRIDDEN.get((name, at), {})}) for at, (made, terms) in enumerate(products)]
        coupons = COUPONS if name == "a" else []
        made = [await shop.made("/v1/coupons", {"name": "c", "repeat": "forever", **one}) for one in coupons]
        applied = [{"id": one["id"]} for one in made]
        await shop.subscription(customers[-1], *own, starts_at="2026-02-01", coupons=applied)
    ids = [one for customer in customers for one in (customer["id"], customer["external_id"])]
    for number in range(events):
        versions = [an_event(rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        version = None
        for moment, record in versions:
            sent = {
                "customer_id": rng.choice(ids),
                "timestamp_us": microseconds(moment),
                "record_id": f"e{number}",
                "properties": msgspec.json.encode(record),
            }
            (version,) = await shop.usage.add(shop.api.world, sent, supersedes=version)
    return products, customers


def simulation_of(product):
    span = {"start_date": "2026-02-01", "end_date": "2026-04-01"}
    drafts = [{"name": "own", "prices": GRADUATED}]
    return {"product_id": product["id"], "currency": "EUR", **span, "configurations": drafts}


def lines_of(invoice, product):
    """Give the lines of a product; of one that is billed upfront there are several."""
    return [line for line in invoice["line_items"] if line["product_id"] == product["id"]]


def signed(line):
    return line["amount"] * (-1 if line["entry_type"] == "credit" else 1)


async def got(shop, path):
    answer = await shop.api.get(path)
    assert answer.status == 200, answer.text
    return answer.json


async def test_usage_agrees(shop):
    """Each customer alone, all customers side by side, and hour by hour where that adds up."""
    products, customers = await a_world(shop, 1)
    for (counted, _, _), (product, _) in zip(SOLD, products, strict=True):
        aggregator = product["aggregator_id"]
        rows = await got(shop, f"/v1/aggregators/{aggregator}/usage/group-by-customer?{MARCH}")
        grouped = {row["customer_id"]: (row["total"], row["count"]) for row in rows["data"]}
        for customer in customers:
            one = f"/v1/customers/{customer['id']}/usage"
            alone = await got(shop, f"{one}/{aggregator}?{MARCH}")
            listed = {row["aggregator_id"]: row for row in await got(shop, f"{one}?{MARCH}")}
            assert (alone["total"], alone["count"]) == (listed[aggregator]["total"], listed[aggregator]["count"])
            assert grouped.get(customer["id"], (alone["total"], 0)) == (alone["total"], alone["count"])
            series = await got(shop, f"{one}/{aggregator}/timeseries?{MARCH}&granularity=hour")
            assert sum(row["count"] for row in series) == alone["count"]
            if counted["operation"] in ("count", "sum"):
                assert sum(row["total"] for row in series) == alone["total"]


async def adds_up(shop, invoice):
    """Hold an invoice against its lines, its events page by page, and its file; both columns, to the unit."""
    assert invoice["total_amount"] == sum(signed(line) for line in invoice["line_items"])
    path = f"/v1/invoices/{invoice['id']}/events"
    explained = await got(shop, f"{path}?take=100")
    events = explained["data"]
    while len(events) < explained["meta"]["total"]:
        events += (await got(shop, f"{path}?take=100&skip={len(events)}"))["data"]
    rows = list(csv.DictReader(io.StringIO((await shop.api.get(f"{path}?format=csv")).text)))
    for column in ("amount", "exact_amount"):
        assert sum(Decimal(row[column]) for row in rows) == invoice["total_amount"]
        for line in explained["lines"]:
            own = [one["billing"] for one in events if one["billing"]["invoice_line_item_id"] == line["id"]]
            assert sum(Decimal(one[column]) for one in (*own, *line["entries"])) == line["signed_amount"]
            assert sum(Decimal(one[column]) for one in own) == line["events"][column]
    return explained["lines"], events


async def previewed(shop, rows, total, **terms):
    """Give what the price preview makes of a total."""
    asked = msgspec.json.encode({"currency": "EUR", "prices": rows, "quantities": [0], **terms}).decode()
    body = asked.replace('"quantities":[0]', f'"quantities":[{total}]').encode()
    answer = await shop.api("POST", "/v1/prices/preview", data=body)
    assert answer.status == 200, answer.text
    return answer.json["amounts"][0]["amount"]


async def as_usage_says(shop, invoice, products):
    """Hold the lines of the period's own usage against the figures and the price preview."""
    month = FEBRUARY if invoice["period_starts_at"].startswith("2026-02") else MARCH
    usage = await got(shop, f"/v1/customers/{invoice['customer']['id']}/usage?{month}")
    totals = {row["aggregator_id"]: row["total"] or 0 for row in usage}
    for at, (sold, (product, terms)) in enumerate(zip(SOLD, products, strict=True)):
        counted, rows, _ = sold
        if (invoice["customer"]["external_id"], at) in OVERRIDDEN:
            continue
        if "metering_interval_type" in terms or "payment_schedule" in terms or rows is MATRIX:
            continue
        (line,) = lines_of(invoice, product)
        total, allows = totals[product["aggregator_id"]], counted.get("allow_negative_values", False)
        units = abs(total) if allows else max(total, terms.get("min_committed_count", 0))
        assert line["units_count"] == units, sold
        if rows is not EACH:
            own = BULK if rows is GRADUATED and invoice["customer"]["external_id"] == "c" else rows
            assert await previewed(shop, own, total, allow_negative_values=allows, **terms) == signed(line), sold


async def test_invoices_agree(shop, registry, store, clock):
    """With usage, with the price preview, with their events, with their files, with simulations, as they stood."""
    products, _ = await a_world(shop, 1)
    answer = await shop.api.get("/v1/invoices?status=open&take=100")
    invoices, stood = answer.json["data"], answer.headers["X-Usage-Cutoff"]
    assert len(invoices) == 6
    for invoice in invoices:
        await adds_up(shop, invoice)
        await as_usage_says(shop, invoice, products)
    async with running(registry, store, clock):
        for number in (*SIMULATED, *UPFRONT):
            product = products[number][0]
            if number in UPFRONT:
                clock.moment = datetime(2026, 4, 2, tzinfo=UTC)  # March is settled in April.
            billed = [one for one in await shop.invoices("&take=100") if number in UPFRONT or one in invoices]
            simulation_id = await begun(shop, simulation_of(product))
            for row in (await ended(shop, simulation_id))["data"]:
                own = [one for one in billed if one["customer"]["id"] == row["customer_id"]]
                lines = [line for one in own for line in lines_of(one, product) if line["period_starts_at"] < "2026-04"]
                assert row["current"] == sum(signed(line) for line in lines), SOLD[number]
                assert len(lines) == (4 if number in UPFRONT else 2)
    clock.moment = NOW
    await shop.use("a", "2026-02-10T00:00:00Z", "2026-03-10T00:00:00Z", n=3, card="visa")
    assert await shop.invoices("&take=100") != invoices
    assert await shop.invoices(f"&take=100&as_of={stood}") == invoices


async def settled(shop, customer, product, month):
    """Give what the true-up of a month comes to."""
    invoices = await shop.invoices(f"&take=100&customer_id={customer['id']}")
    lines = [line for one in invoices for line in lines_of(one, product) if line["upfront"] == "true_up"]
    (line,) = (line for line in lines if line["period_starts_at"].startswith(month))
    return signed(line)


async def came_to(shop, customer, products, month):
    """Give what a customer's usage of a month comes to, by product."""
    start = f"&customer_id={customer['id']}&period_starts_at__gte={month}-01T00:00:00Z"
    (invoice,) = await shop.invoices(f"{start}&period_starts_at__lt={month}-02T00:00:00Z")
    billed = {product["id"]: sum(signed(line) for line in lines_of(invoice, product)) for product, _ in products}
    of_upfront = {products[number][0]["id"]: products[number][0] for number in UPFRONT}
    return billed | {name: await settled(shop, customer, product, month) for name, product in of_upfront.items()}


async def test_an_event_costs_what_it_adds_to_the_invoice(shop, registry, store, clock):
    """Exactly where prices are whole; less than a unit off where the line is rounded."""
    clock.moment = datetime(2026, 4, 2, tzinfo=UTC)
    products, customers = await a_world(shop, 1)
    rng = random.Random(1)
    for number in range(3):
        moment, record = an_event(rng)
        customer = rng.choice(customers)
        at_us, name = microseconds(moment), f"next{number}"
        before = await came_to(shop, customer, products, f"{moment:%Y-%m}")
        event = CountedEvent(customer["id"], "call", name, at_us, {"id": name, **record})
        cutoff = await ChainStore(store).applied()
        prices = await marginal_prices(registry, store, shop.api.world, event, cutoff)
        sent = {"customer_id": "x", "timestamp_us": at_us, "record_id": name}
        raw = msgspec.json.encode(record)
        await shop.usage.add(shop.api.world, {**sent, "customer_id": customer["external_id"], "properties": raw})
        after = await came_to(shop, customer, products, f"{moment:%Y-%m}")
        cost = {price.product_id: price.amount for price in prices}
        for name, old in before.items():
            assert abs(after[name] - old - cost[name]) < 1, (record, old, after[name], cost[name])


async def test_events_that_come_in_one_after_the_other_cost_what_the_invoice_says_of_each(shop, registry, store):
    """What it was told to cost when it came in is what its line is opened into, of every figure and model."""
    products, (customer, *_) = await a_world(shop, 1, events=0)
    rng, told = random.Random(7), {}
    for number in range(11):
        moment, record = START + timedelta(days=4 * number, hours=rng.randrange(60)), an_event(rng)[1]
        sent = {"customer_id": customer["id"], "timestamp_us": microseconds(moment), "record_id": f"e{number:02}"}
        (version,) = await shop.usage.add(shop.api.world, {**sent, "properties": msgspec.json.encode(record)})
        at = CountedEvent(
            sent["customer_id"],
            "call",
            sent["record_id"],
            sent["timestamp_us"],
            {"id": sent["record_id"], **record},
            version.position,
        )
        cutoff = await ChainStore(store).applied()
        for price in await marginal_prices(registry, store, shop.api.world, at, cutoff):
            told[price.product_id, sent["record_id"], f"{moment:%Y-%m}"] = price.amount
    differences = {product["id"] for product, terms in products if terms.get("bill_usage_difference")}
    for_good = {product["id"] for product, terms in products if terms is FOR_GOOD}
    upfront = {products[number][0]["id"] for number in UPFRONT}
    compared = set()
    for invoice in await shop.invoices(f"&customer_id={customer['id']}"):
        month = invoice["period_starts_at"][:7]
        passed_over = differences if month == "2026-03" else for_good
        for event in (await adds_up(shop, invoice))[1]:
            own = event["billing"]
            used_in = event["timestamp"][:7]
            if own["product_id"] in upfront or (own["product_id"] not in passed_over and used_in == month):
                compared.add(own["product_id"])
                assert own["exact_amount"] == told[own["product_id"], event["record_id"], month], event
    assert compared == {product["id"] for product, _ in products} - upfront


@pytest.mark.parametrize("seed", [2, 3])
async def test_of_equal_times_an_events_price_goes_by_where_it_came_in(shop, registry, store, seed):
    """Through two lanes, in the order of the lanes or against it: what a price says is what the invoice does."""
    customer = await shop.customer()
    latest = await shop.aggregator(operation="latest", property="n")
    await shop.subscription(customer, await shop.product(OPEN, aggregator_id=latest["id"]))
    lanes = [shop.usage, Usage(store)]
    random.Random(seed).shuffle(lanes)
    await lanes[0].add(shop.api.world, _at_noon(customer, "first", 3))
    (before,) = await shop.invoices()
    (version,) = await lanes[1].add(shop.api.world, _at_noon(customer, "second", 8))
    cutoff = await ChainStore(store).applied()
    record = {"id": "second", "n": 8}
    event = CountedEvent(customer["id"], "call", "second", version.timestamp_us, record, version.position)
    (price,) = await marginal_prices(registry, store, shop.api.world, event, cutoff)
    (after,) = await shop.invoices()
    moved = after["total_amount"] - before["total_amount"]
    assert price.amount == moved == (25 if lanes[0] is shop.usage else 0)


def _at_noon(customer, record_id, n):
    properties = msgspec.json.encode({"n": n})
    noon = microseconds(datetime(2026, 3, 10, 12, tzinfo=UTC))
    return {"customer_id": customer["id"], "timestamp_us": noon, "record_id": record_id, "properties": properties}
