"""The whole product: a simulation that was asked for comes to its end, whatever dies meanwhile."""

import asyncio

import pytest

from tests.pipeline.product import Client

pytestmark = pytest.mark.slow

CUSTOMERS = 40
ROWS = [{"type": "volume", "from": 0, "to": None, "amount": 5}]
DRAFT = [{"type": "volume", "from": 0, "to": 10, "amount": 7}, {"type": "volume", "from": 10, "to": None, "amount": 1}]


async def test_a_simulation_survives_kill_9(product):
    """All parts are killed as soon as it was taken; it begins again, and what came in meanwhile is not in it."""
    async with Client(product) as client:
        counted = await client.call("POST", "/v1/aggregators", {"name": "n", "entity": "tried", "operation": "count"})
        sold = {"name": "Tried", "type": "dynamic", "aggregator_id": counted["id"]}
        configurations = [{"currency": "EUR", "prices": ROWS}]
        made = await client.call("POST", "/v1/products", {**sold, "price_configurations": configurations})
        events = [
            {
                "customer_id": f"tried-{number % CUSTOMERS}",
                "event_type": "tried",
                "timestamp": "2024-01-15T10:30:00Z",
                "record": {"id": str(number)},
            }
            for number in range(15 * CUSTOMERS)
        ]
        await client.call("POST", "/v1/events/batch", events)
        await client.until_applied()
        body = {
            "product_id": made["id"],
            "currency": "EUR",
            "start_date": "2024-01-01",
            "end_date": "2024-02-01",
            "configurations": [{"name": "draft", "prices": DRAFT}],
        }
        simulation_id = (await client.call("POST", "/v1/simulations", body, expect=(202,)))["id"]
        product.kill_all()
        product.start()
        late = {**events[0], "record": {"id": "late"}}
        await client.call("POST", "/v1/events", late)
        await client.until_applied()
        for _ in range(4800):
            told = await client.get(f"/v1/simulations/{simulation_id}?take=100")
            if told["ended_at"] is not None:
                break
            await asyncio.sleep(0.05)
        assert (told["status"], told["progress"], told["meta"]["total"]) == ("done", 100, CUSTOMERS)
        assert told["totals"] == [{"name": "draft", "amount": CUSTOMERS * 75}]
        assert told["current_total"] == CUSTOMERS * 75
        assert {(one["current"], one["amounts"][0]["amount"]) for one in told["data"]} == {(75, 75)}
        assert told["comparison"][0]["unchanged"] == CUSTOMERS
