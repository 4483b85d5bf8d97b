"""The whole product: connected seats follow what comes in, and each change is written once, whatever dies meanwhile."""

import asyncio

import pytest

from tests.pipeline.product import Client

pytestmark = pytest.mark.slow

SEATS = 400
ROWS = [{"type": "volume", "from": 0, "to": None, "amount": 7}]
MONTH = {"period": "months", "count": 1}


async def test_seats_survive_kill_9(product):
    """The core is killed again and again while users come and clients ask for refreshes at the same time."""
    async with Client(product) as client:
        customer = await client.call("POST", "/v1/customers", {"name": "Team", "currency": "EUR"})
        counted = await client.call("POST", "/v1/aggregators", {"name": "n", "entity": "user", "operation": "count"})
        sold = {"name": "Seats", "type": "seat", "aggregator_id": counted["id"]}
        configurations = [{"currency": "EUR", "prices": ROWS}]
        seats = await client.call("POST", "/v1/products", {**sold, "price_configurations": configurations})
        terms = {"id": seats["id"], "payment_interval": MONTH, "refund_on_decrease": True}
        body = {"customer_id": customer["id"], "starts_at": "2024-01-01", "products": [terms]}
        path = f"/v1/subscriptions/{(await client.call('POST', '/v2/subscriptions', body))['id']}/updates"
        refresh = path.replace("/v1", "/v2").replace("updates", "refresh-seat-products")

        async def ask():
            for _ in range(5):
                await client.call("POST", refresh)

        asking = [asyncio.create_task(ask()) for _ in range(3)]
        for start in range(0, SEATS, 100):
            events = [
                {
                    "customer_id": customer["id"],
                    "event_type": "user",
                    "timestamp": "2024-01-15T10:30:00Z",
                    "record": {"id": str(number)},
                }
                for number in range(start, start + 100)
            ]
            await client.send(events)
            product.kill_part("core")
        await asyncio.gather(*asking)
        await client.until_applied()
        for _ in range(4800):
            counts = [one["count"] for one in (await client.get(path))["data"]]
            if counts[-1:] == [SEATS]:
                break
            await asyncio.sleep(0.05)
        assert counts == sorted(set(counts))
        assert counts[-1] == SEATS
        assert await client.call("POST", refresh) == []
