"""Invoices of random histories are those of a model that keeps events in a list and amounts in fractions."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from metering.timestamps import microseconds
from tests.metering.api.conftest import Usage

START = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)]
TIERS = [(0, 7, Fraction(5, 2)), (7, 20, Fraction(3, 2)), (20, None, Fraction(1, 3))]
PLANS = ("free", "pro", "team")


def volume_rows():
    return [
        {"type": "volume", "from": lower, "to": upper, "amount": rate.numerator, "unit_count": rate.denominator}
        for lower, upper, rate in TIERS
    ]


def graduated(units):
    total = Fraction(0)
    for lower, upper, rate in TIERS:
        top = units if upper is None else min(units, upper)
        total += max(Fraction(0), top - lower) * rate
    return total


def rounded(amount):
    return int((abs(amount) * 2 + 1) // 2) * (1 if amount >= 0 else -1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_every_open_invoice_is_that_of_the_model(shop, store, seed):
    """Corrections, deletions, partial periods, several ids and a matrix; 24 invoices in one answer."""
    dice = random.Random(seed)
    summed = await shop.aggregator(operation="sum", property="n")
    counted = await shop.aggregator()
    pro = {"conditional": "and", "fields": [{"property": "plan", "operator": "equals", "value": "pro"}]}
    matrix = [
        {"currency": "EUR", "metering_filter": {"name": "pro", "configuration": pro}, "prices": volume_rows()},
        {"currency": "EUR", "prices": volume_rows()},
    ]
    products = [
        await shop.product(volume_rows(), aggregator_id=summed["id"], name="sum"),
        await shop.product(configurations=matrix, aggregator_id=counted["id"], name="matrix"),
        await shop.product([{"type": "fee", "amount": 9999}], kind="flat_fee", name="fee"),
    ]
    customers, starts = [], {}
    for index in range(8):
        customer = await shop.customer(external_id=f"ext-{index}")
        begins = START + timedelta(minutes=dice.randrange(31 * 24 * 60))
        await shop.subscription(customer, *products, starts_at=begins.isoformat())
        customers.append(customer)
        starts[customer["id"]] = begins

    events = await _live(dice, Usage(store), shop.api.world, customers)

    answer = (await shop.api.get("/v1/invoices?status=open&take=100")).json
    assert answer["meta"]["total"] == 24
    for invoice in answer["data"]:
        customer = invoice["customer"]["id"]
        begins = datetime.fromisoformat(invoice["period_starts_at"])
        ends = next(edge for edge in MONTHS if edge > begins)
        own = [
            record
            for who, when, record in events
            if who in {customer, invoice["customer"]["external_id"]} and max(begins, starts[customer]) <= when < ends
        ]
        by_name = {line["name"]: line for line in invoice["line_items"]}
        total = max(Fraction(0), sum((Fraction(record["n"]) for record in own), start=Fraction(0)))
        assert by_name["sum"]["amount"] == rounded(graduated(total))
        assert Fraction(by_name["sum"]["units_count"]) == total
        of_pro = sum(record["plan"] == "pro" for record in own)
        assert by_name["matrix"]["amount"] == rounded(graduated(of_pro) + graduated(len(own) - of_pro))
        first = max(begins, starts[customer])
        length = (ends - datetime(first.year, first.month, 1, tzinfo=UTC)).days
        owed = (ends.date() - first.date()).days
        assert by_name["fee"]["amount"] == rounded(Fraction(9999 * owed, length))
        assert invoice["total_amount"] == sum(line["amount"] for line in invoice["line_items"])


async def _live(dice, usage, world, customers):
    """Send events, correct some of them; give what is current as (customer id, time, record)."""
    current, versions = {}, {}
    for _ in range(300):
        key = f"r{dice.randrange(200)}"
        customer = dice.choice(customers)
        who = dice.choice([customer["id"], customer["external_id"]])
        when = START + timedelta(microseconds=dice.randrange(90 * 24 * 3600 * 10**6))
        record = {"n": Decimal(dice.randrange(-20, 100)) / 4, "plan": dice.choice(PLANS)}
        # A later version wins, so that a correction may only move forward in time here.
        if key in current and when < current[key][1]:
            continue
        properties = msgspec.json.encode({"n": msgspec.Raw(str(record["n"]).encode()), "plan": record["plan"]})
        event = {
            "record_id": key,
            "customer_id": who,
            "event_type": "call",
            "timestamp_us": microseconds(when),
            "properties": properties,
        }
        (versions[key],) = await usage.add(world, event, supersedes=versions.get(key))
        current[key] = (who, when, record)
    return list(current.values())
