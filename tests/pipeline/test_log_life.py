"""The life of the log: archived once applied, and everything as before."""

import asyncio
import random

import pytest

from ingest.log.archive.folder import archived, runs
from ingest.log.local.folder import first_offsets
from tests.pipeline.product import Client, Product

pytestmark = pytest.mark.slow

SMALL = {"METERLINE_LOG_SEGMENT_MIB": "1"}
RANGE = "start_date=2024-01-01&end_date=2024-07-01"
CUSTOMERS = ["ada", "bob", "cyd"]


def a_batch(chance, begin, count=2000):
    """New events and corrections of earlier ones, some 400 bytes each."""
    events = []
    for number in range(begin, begin + count):
        key = number if chance.random() < 0.9 else chance.randrange(number + 1)
        events.append(
            {
                "customer_id": chance.choice(CUSTOMERS),
                "timestamp": f"2024-0{chance.randrange(1, 6)}-03T00:00:{number % 60:02}.{number % 1_000_000:06}Z",
                "event_type": "call",
                "record": {"id": key, "amount": chance.randrange(1000), "note": chance.randbytes(100).hex()},
            }
        )
    return events


async def an_aggregator(client):
    asked = {"name": "sum", "entity": "call", "operation": "sum", "property": "amount"}
    return (await client.call("POST", "/v1/aggregators", asked))["id"]


async def figures(client, aggregator, as_of=""):
    """What is asked of usage, for all customers."""
    await client.until_applied()
    found = {}
    for customer in CUSTOMERS:
        for path in ("", f"/{aggregator}", f"/{aggregator}/timeseries"):
            more = "&granularity=month" if path.endswith("timeseries") else ""
            found[customer, path] = await client.get(f"/v1/customers/{customer}/usage{path}?{RANGE}{more}{as_of}")
    return found


async def until(condition):
    """Wait for what must happen."""
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.1)


async def test_the_log_is_archived_while_it_is_used_and_figures_stay(tmp_path):
    """Through a kill of everything: offsets go on, what is applied is not asked for again, and status tells it."""
    product = Product(tmp_path / "data", environment=SMALL).start()
    log, archive = tmp_path / "data" / "log", tmp_path / "data" / "log-archive"
    chance = random.Random(7)
    try:
        async with Client(product) as client:
            aggregator = await an_aggregator(client)
            for begin in range(0, 10_000, 2000):
                await client.send(a_batch(chance, begin))
            before = await figures(client, aggregator)
            await until(lambda: len(archived(archive)) >= 2)
            ((first, following),) = runs(archived(archive))
            assert first == 0
            product.kill_all()
            product.start()
            assert await figures(client, aggregator) == before
            await client.send(a_batch(chance, 10_000))
            after = await figures(client, aggregator)
            assert after != before
        told = product.command("status")
        assert told.returncode == 0, told.stderr
        assert "archive, offsets" in told.stdout
        assert first_offsets(log)[0] >= following
        assert product.stop() == 0
        assert product.command("status").returncode == 3
    finally:
        product.stop()
