"""How long one event's price takes, with a million events in the store: the parts of it, and the whole but the waiting.

    python bench/prices.py            1 million events
    SIZE=10000000 python bench/prices.py

The events are those of `read.py`: 2,000 a customer and month. Every fiftieth of them is priced for the first time, as
`POST /v1/events/prices` does once the event is in the figures; then once more, as when it is sent again. The goal is
20 ms for the first, merged. Beside the clock stands the CPU of this process, which the neighbours disturb less.
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

os.environ.setdefault("SIZE", "1000000")

import read

from billing.catalog.reading import read_product
from billing.catalog.registry import create_product, find_products
from billing.subscriptions.agreement import agree
from billing.subscriptions.reading import read_subscription
from billing.subscriptions.registry import create_subscription
from deploy.adapters import BillingPricer
from ingest.prices.event import read_sent
from ingest.prices.kept import find_prices, keep_prices
from ingest.prices.pricing import EventPricing
from metering.http.json import dumps
from metering.position import Position
from metering.registry.accounts import create_account
from metering.registry.aggregators import create_aggregator
from metering.registry.customers import create_customer
from metering.registry.engine import Registry
from metering.registry.migrate import migrate as migrate_registry
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.migrations import migrate
from metering.timestamps import EPOCH
from metering.world import Mode, World

PRICED = 100
NOW = datetime(2024, 3, 1, tzinfo=UTC)
TIERS = [
    {"type": "volume", "from": 0, "to": 100_000, "amount": 2},
    {"type": "volume", "from": 100_000, "to": None, "amount": 1},
]
_SOME = """
SELECT event_type, customer_id, toUnixTimestamp64Micro(timestamp), record_id, properties, position
FROM events
WHERE customer_id IN {customers:Array(String)} AND timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
  AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
ORDER BY sipHash64(record_id, {round:UInt32}) LIMIT {limit:UInt32}
"""


def sell(connection, world, customers):
    """Give some customers a subscription to what the events are."""
    account = create_account(connection, "bench", NOW)
    connection.exec_driver_sql(f"UPDATE accounts SET id = '{world.account_id}' WHERE id = '{account.id}'")
    fields = {"name": "n", "entity": "call", "operation": "sum", "property": "amount"}
    aggregator = create_aggregator(connection, world, fields, NOW)
    sent = {
        "name": "Calls",
        "type": "dynamic",
        "aggregator_id": aggregator.id,
        "price_configurations": [{"currency": "EUR", "prices": TIERS}],
    }
    asked = read_product(sent)
    columns = {"name": "Calls", "type": asked.type.value, "aggregator_id": aggregator.id, "details": {}}
    product = create_product(connection, world, columns, asked.configurations, NOW)
    for external_id in customers:
        customer = create_customer(connection, world, {"external_id": external_id, "currency": "EUR"}, NOW)
        asked = read_subscription(
            {
                "customer_id": customer.id,
                "starts_at": "2024-01-01",
                "activation_strategy": "start_date",
                "products": [{"id": product.id, "payment_interval": {"period": "months", "count": 1}}],
            }
        )
        agreed = agree(asked, customer, find_products(connection, world, [product.id]))
        create_subscription(connection, world, asked, agreed, NOW)


def timed(name, taken):
    """Print the figures of one step, in milliseconds."""
    clock, cpu = ([one[index] * 1000 for one in taken] for index in (0, 1))
    worst = statistics.quantiles(clock, n=20)[18]
    print(f"  {name:50} p50 {statistics.median(clock):7.1f}   p95 {worst:7.1f}   CPU {statistics.fmean(cpu):7.1f} ms")
    return statistics.median(clock)


async def price(registry, store, world, customers, number):
    """Price some events for the first time and again; give the median of the first."""
    chains = ChainStore(store)
    pricing = EventPricing(registry, store, chains, None, BillingPricer(registry, store), lambda: NOW)
    parameters = {"customers": customers, "start": read.FEBRUARY[0], "end": read.FEBRUARY[1]}
    rows = store.select(_SOME, {**parameters, "round": number, "limit": PRICED})
    first, kept, again = [], [], []
    for event_type, customer_id, timestamp_us, record_id, properties, position in rows:
        record = f'{{"id":"{record_id}",{properties[1:]}'
        head = {
            "event_type": event_type,
            "customer_id": customer_id,
            "timestamp": str(EPOCH + timedelta(microseconds=timestamp_us)),
        }
        sent = read_sent(world, b"[" + dumps(head)[:-1] + b',"record":' + record.encode() + b"}]")
        if sent.version.properties != properties.encode():
            continue  # `read.py` writes numbers such as 1.10, which no consumer would.
        began = time.perf_counter(), time.process_time()
        prices = await pricing._price(world, sent, Position(position))  # noqa: SLF001 - but for the waiting.
        assert prices.result
        assert "amount_excluding_tax" in prices.result[0]
        first.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        began = time.perf_counter(), time.process_time()
        await registry.write(keep_prices, world, prices)
        kept.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        began = time.perf_counter(), time.process_time()
        assert await registry.read(find_prices, world, sent.calculation_id) == prices
        again.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    timed("worked out", first)
    timed("kept, durable", kept)
    whole = timed("both", [(one[0] + two[0], one[1] + two[1]) for one, two in zip(first, kept, strict=True)])
    timed("looked up when sent again", again)
    return whole


def main():
    """Fill a store, price events unmerged and merged, and tell whether the goal was met."""
    folder = tempfile.mkdtemp(prefix="bench-prices-")
    store = Store.open(f"chdb://{folder}/store")
    registry = Registry(f"sqlite:///{folder}/registry.db")
    world = World(read.WORLD.account_id, Mode.PROD)
    customers = [f"cus_{number}" for number in range(min(20, read.CUSTOMERS))]
    try:
        migrate(store)
        migrate_registry(registry)
        read.fill(store)
        with registry.writing() as connection:
            sell(connection, world, customers)
        asyncio.run(ChainStore(store).mark_applied({1: Position((2 << 48) - 1)}, NOW))
        parts = store.select("SELECT count() FROM system.parts WHERE active")[0][0]
        print(f"{read.SIZE:,} events of {read.CUSTOMERS:,} customers; {parts} parts, not merged:")
        asyncio.run(price(registry, store, world, customers, 1))
        read.merge(store)
        print("merged:")
        whole = asyncio.run(price(registry, store, world, customers, 2))
    finally:
        store.close()
        registry.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("goal (20 ms merged):", "met" if whole <= 20 else "missed")


if __name__ == "__main__":
    sys.exit(main())
