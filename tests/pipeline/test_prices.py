"""The whole product: events sent for their prices while processes are killed."""

import asyncio
from decimal import Decimal

import pytest

from tests.pipeline.product import Client

pytestmark = pytest.mark.slow

EVENTS = 24
ROWS = [
    {"type": "volume", "from": 0, "to": 10, "amount": 100},
    {"type": "volume", "from": 10, "to": None, "amount": 2.5},
]


def an_event(number):
    return {
        "customer_id": "acme",
        "timestamp": f"2024-01-{number % 28 + 1:02}T00:00:00Z",
        "event_type": "call",
        "record": {"id": number, "n": (number % 5 + 1) / 4},
    }


async def sell(client):
    await client.call("POST", "/v1/customers", {"external_id": "acme", "name": "Acme", "currency": "EUR"})
    counted = {"name": "calls", "entity": "call", "operation": "sum", "property": "n"}
    product = {
        "name": "Calls",
        "type": "dynamic",
        "aggregator": counted,
        "price_configurations": [{"currency": "EUR", "prices": ROWS}],
    }
    made = await client.call("POST", "/v1/products", product)
    yearly = {"id": made["id"], "payment_interval": {"period": "years", "count": 1}}
    subscription = {
        "customer_id": "acme",
        "starts_at": "2024-01-01",
        "activation_strategy": "start_date",
        "products": [yearly],
    }
    await client.call("POST", "/v2/subscriptions", subscription)


async def test_kill_9_takes_no_price_and_changes_none(product):
    """Sent again until it is answered, each event has one price, before and after; they add up to the invoice."""
    async with Client(product) as client:
        await sell(client)

        async def price(number):
            return await client.call("POST", "/v1/events/prices", an_event(number), expect=(201,))

        asking = [asyncio.create_task(price(number)) for number in range(EVENTS)]
        for kind in ("core", "gateway", "core"):
            await asyncio.sleep(0.4)
            product.kill_part(kind)
        told = await asyncio.gather(*asking)
        amounts = [one["amount_excluding_tax"] for answer in told for one in answer["result"]]
        assert len(amounts) == EVENTS
        units = sum(Decimal(number % 5 + 1) / 4 for number in range(EVENTS))
        assert sum(amounts) == 1000 + (units - 10) * Decimal("2.5")

        product.kill_all()
        product.start()
        again = await asyncio.gather(*(price(number) for number in reversed(range(EVENTS))))
        assert again[::-1] == told
        year = "&period_starts_at__gte=2024-01-01&period_starts_at__lt=2025-01-01"
        (invoice,) = (await client.get(f"/v1/invoices?status=open{year}"))["data"]
        assert invoice["line_items"][0]["units_count"] == units
        assert invoice["amount_excluding_tax"] == int(sum(amounts).to_integral_value("ROUND_HALF_UP"))
        listed = await client.get("/v1/events/prices?take=100")
        assert sorted(one["id"] for one in listed) == sorted(one["id"] for one in told)
