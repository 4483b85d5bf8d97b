"""The whole product under kill -9: thresholds are told once, and rollups say what the events say."""

import asyncio
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tests.pipeline.product import Client

pytestmark = pytest.mark.slow

CUSTOMERS = [f"c{number}" for number in range(8)]
THRESHOLDS = [100, 400]
LOOKS_MAX = 600


class Ledger:
    """What was acknowledged: the latest version of each event."""

    def __init__(self, now, seed):
        self.now, self.random = now, random.Random(seed)
        self.current = {}

    def batch(self, size):
        """Make events; a third of them correct earlier ones, and may move to another customer."""
        events = []
        for _ in range(size):
            known = self.random.random() < 0.3 and self.current
            record_id = self.random.choice(sorted(self.current)) if known else f"r{len(self.current)}"
            customer, amount = self.random.choice(CUSTOMERS), self.random.randint(-2, 5)
            self.current[record_id] = customer, amount
            events.append(
                {
                    "customer_id": customer,
                    "event_type": "call",
                    "timestamp": self.now.isoformat(),
                    "record": {"id": record_id, "amount": amount},
                }
            )
        return events

    def totals(self):
        found = Counter()
        for customer, amount in self.current.values():
            found[customer] += amount
        return found


async def test_thresholds_are_told_once_and_rollups_are_exact_under_kill_9(product):
    """Corrections to and fro, the core and then everything killed: the same figures, and each crossing once."""
    now = datetime.now(UTC)
    ledger = Ledger(now, 7)
    span = f"start_date={now:%Y-%m-%dT00:00:00Z}&end_date={now + timedelta(days=1):%Y-%m-%dT00:00:00Z}"
    async with Client(product) as client:
        made = {"name": "Calls", "entity": "call", "operation": "sum", "property": "amount"}
        thresholds = [{"name": f"at {value}", "threshold_value": value} for value in THRESHOLDS]
        aggregator = await client.call("POST", "/v1/aggregators", {**made, "thresholds": thresholds})
        usage = f"/v1/aggregators/{aggregator['id']}/usage"
        for turn in range(8):
            await client.send(ledger.batch(400))
            if turn in {2, 5}:
                product.kill_part("core")
            if turn == 4:
                product.kill_all()
                product.start()
                client.url = product.url
            await client.until_applied()
            for _ in range(2):
                expected = ledger.totals()
                rows = (await client.get(f"{usage}/group-by-customer?{span}&take=100"))["data"]
                assert {row["external_id"]: row["total"] for row in rows} == expected
                series = await client.get(f"{usage}/timeseries?granularity=hour&timezone=Asia/Kathmandu&{span}")
                assert sum(window["total"] for window in series) == sum(expected.values())
        assert await rows_of(client, "rollups") > 0, "nothing was rolled up"
        reached = {(name, value) for name, total in ledger.totals().items() for value in THRESHOLDS if total >= value}
        assert reached, "no threshold was reached"
        await until_told(client, reached)
        told = await crossings(client)
        assert max(told.values()) == 1
        product.kill_all()
        product.start()
        client.url = product.url
        await client.send(ledger.batch(10))
        await client.until_applied()
        assert max((await crossings(client)).values()) == 1


async def crossings(client):
    rows = (await client.get("/v1/webhooks/messages?take=100&event_type=usage.threshold_crossed"))["data"]
    return Counter(
        (row["data"]["customer"]["external_id"], row["data"]["threshold"]["threshold_value"]) for row in rows
    )


async def until_told(client, wanted):
    """What is beyond a threshold is told; what went back meanwhile may be too."""
    for _ in range(LOOKS_MAX):
        if wanted <= set(await crossings(client)):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"not told: {wanted - set(await crossings(client))}")


async def rows_of(client, table):
    for _ in range(LOOKS_MAX):
        async with aiohttp.ClientSession() as session, session.get(f"{client.url}/metrics") as answer:
            found = re.search(rf'meterline_store_rows{{table="{table}"}} (\d+)', await answer.text())
        if found and int(found[1]):
            return int(found[1])
        await asyncio.sleep(0.2)
    return 0
