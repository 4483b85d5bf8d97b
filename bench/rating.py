"""How fast lines are rated, and how long the open invoices of many subscriptions take.

    python bench/rating.py          every price model, then 10,000 subscriptions
    SIZE=1000 python bench/rating.py

The first part is pure: prices read once, quantities that reach every tier, one process on one core. The second makes
subscriptions of one product each, with 50 events each in the month, and asks for all open invoices, page by page as the
API would and in one go. Goals: 200,000 lines a second a core; 20 s for 10,000 subscriptions.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from billing.catalog.model import PriceGroup
from billing.catalog.reading import read_product
from billing.catalog.registry import create_product, find_products
from billing.interval import Interval
from billing.invoices.lines import BilledProduct, Counted, WindowUsage, invoice_lines
from billing.invoices.open import list_open_invoices
from billing.invoices.registry import Wanted
from billing.pricing import Terms, UnitPrices, rate, rate_groups, read_prices
from billing.subscriptions.agreement import agree
from billing.subscriptions.model import SubscriptionProduct
from billing.subscriptions.reading import read_subscription
from billing.subscriptions.registry import create_subscription
from metering.api.asof import AsOf
from metering.http.paging import Page
from metering.position import Cutoff, Position
from metering.registry.accounts import create_account
from metering.registry.aggregators import create_aggregator
from metering.registry.customers import create_customer
from metering.registry.engine import Registry
from metering.registry.migrate import migrate as migrate_registry
from metering.store.client import Store
from metering.store.migrations import migrate
from metering.windows import Period
from metering.world import Mode, World

SIZE = int(os.environ.get("SIZE", "10000"))
EVENTS_EACH = 50
PAGE = 100
NOW = datetime(2024, 2, 20, tzinfo=UTC)
CUTOFF = Cutoff({1: Position((2 << 48) - 1)})
_QUANTITIES = [Decimal(one) / 4 for one in range(0, 4000, 7)]


def tiers(model, **more):
    """Give three tiers of a model."""
    bounds, amounts = ((0, 100), (100, 500), (500, None)), (Decimal("5.25"), Decimal(4), Decimal("0.3"))
    return [
        {"type": model, "from": lower, "to": upper, "amount": amount, **more}
        for (lower, upper), amount in zip(bounds, amounts, strict=True)
    ]


MODELS = {
    "volume, 3 tiers": tiers("volume"),
    "volume, in full": tiers("volume", on_tier_incomplete="pay_in_full"),
    "volume, per 3 units": tiers("volume", unit_count=3),
    "packaged, in full": tiers("packaged", unit_count=20, on_bucket_incomplete="pay_in_full"),
    "bulk": tiers("bulk"),
    "bps": [
        {"type": "bps", "from": 0, "to": 500, "percentage": Decimal("0.5")},
        {"type": "bps", "from": 500, "to": None, "percentage": Decimal("0.3")},
    ],
}


def a_second_of(work):
    """Run some work of many lines again and again for a second or more; give lines a second of CPU."""
    lines, began = 0, time.process_time()
    while time.process_time() - began < 1:
        lines += work()
    return lines / (time.process_time() - began)


def rating():
    """Rate by each model; give the slowest."""
    terms = Terms(min_amount=50, max_amount=10**9)
    slowest = None
    for name, rows in MODELS.items():
        prices = read_prices(rows)
        assert isinstance(prices, UnitPrices)

        def each(prices=prices):
            for quantity in _QUANTITIES:
                rate(prices, quantity, terms)
            return len(_QUANTITIES)

        found = a_second_of(each)
        slowest = min(found, slowest or found)
        print(f"  {name:40} {found:12,.0f} lines/s", flush=True)
    visa, rest = read_prices(MODELS["volume, 3 tiers"]), read_prices(MODELS["bulk"])

    def matrix():
        for quantity in _QUANTITIES:
            rate_groups([(visa, quantity), (rest, quantity)], terms)
        return len(_QUANTITIES)

    print(f"  {'a matrix of two groups':40} {a_second_of(matrix):12,.0f} lines/s", flush=True)
    print(f"  {'lines of invoices, prices read from rows':40} {a_second_of(whole_lines):12,.0f} lines/s", flush=True)
    return slowest


_PRODUCT = SubscriptionProduct(
    "spr_1",
    "itm_1",
    "agg_1",
    Interval.of(Period.MONTHS, 1),
    Decimal(1),
    None,
    None,
    None,
    (PriceGroup(None, MODELS["volume, 3 tiers"]),),
)


def whole_lines():
    """Make the lines of an invoice with many products, as an open invoice is made."""
    billed = [BilledProduct(_PRODUCT, "Calls", [WindowUsage(Counted([quantity]))]) for quantity in _QUANTITIES]
    return len(invoice_lines(billed, "EUR", Fraction(1)))


def sell(connection, world, subscribed, operation="sum", prop="amount"):
    """Make so many subscriptions to a figure, each of a customer of its own."""
    account = create_account(connection, "bench", NOW)
    connection.exec_driver_sql(f"UPDATE accounts SET id = '{world.account_id}' WHERE id = '{account.id}'")
    fields = {"name": "n", "entity": "call", "operation": operation, "property": prop}
    aggregator = create_aggregator(connection, world, fields, NOW)
    sent = {
        "name": "Calls",
        "type": "dynamic",
        "aggregator_id": aggregator.id,
        "price_configurations": [{"currency": "EUR", "prices": MODELS["volume, 3 tiers"]}],
    }
    asked = read_product(sent)
    columns = {"name": "Calls", "type": asked.type.value, "aggregator_id": aggregator.id, "details": {}}
    product = create_product(connection, world, columns, asked.configurations, NOW)
    catalog = find_products(connection, world, [product.id])
    for number in range(subscribed):
        customer = create_customer(connection, world, {"external_id": f"cus_{number}", "currency": "EUR"}, NOW)
        asked = read_subscription(
            {
                "customer_id": customer.id,
                "starts_at": "2024-02-01",
                "activation_strategy": "start_date",
                "products": [{"id": product.id, "payment_interval": {"period": "months", "count": 1}}],
            }
        )
        create_subscription(connection, world, asked, agree(asked, customer, catalog), NOW)
    return product, aggregator


# Every 50th event comes again at the same instant, if it is asked for, and its first version loses.
_EVENTS = """
INSERT INTO events
SELECT 'acc_bench', 'prod', 'call', concat('cus_', toString(number % {customers:UInt64})),
       fromUnixTimestamp64Micro(toInt64(1706745600000000 + number * {step:Int64}), 'UTC'),
       hex(sipHash128(number)), bitShiftLeft(toUInt64(1), 48) + number * 2 + again, false,
       concat('{"amount":', toString(number % 97), '.25,"card":"', ['visa', 'other'][number % 2 + 1], '"}'),
       fromUnixTimestamp64Micro(toInt64(1706745600000000 + number * {step:Int64}), 'UTC')
FROM numbers({first:UInt64}, {count:UInt64})
ARRAY JOIN if(number % 50 = 0, {versions:Array(UInt8)}, [0]) AS again
"""
_SUPERSEDED = """
INSERT INTO superseded
SELECT 'acc_bench', 'prod', 'call', concat('cus_', toString(number % {customers:UInt64})),
       fromUnixTimestamp64Micro(toInt64(1706745600000000 + number * {step:Int64}), 'UTC'),
       hex(sipHash128(number)), bitShiftLeft(toUInt64(1), 48) + number * 2 AS loser, loser + 1
FROM numbers({first:UInt64}, {count:UInt64})
WHERE number % 50 = 0
"""


def fill(store, customers, events, span_us, *, corrected=False):
    """Write events over the customers and a span of time from February 2024 on; on demand 2 in 100 twice."""
    migrate(store)
    at_once = 1_000_000
    for first in range(0, events, at_once):
        parameters = {"customers": customers, "step": span_us // events}
        parameters |= {"first": first, "count": min(at_once, events - first), "versions": [0, 1] if corrected else [0]}
        store.command(_EVENTS, parameters)
        if corrected:
            store.command(_SUPERSEDED, parameters)


async def invoices(registry, store, world):
    """Ask for all open invoices in pages, and in one go; give the seconds of the latter."""
    began = time.perf_counter()
    for skip in range(0, min(SIZE, 1_000), PAGE):
        found, total = await list_open_invoices(
            registry, store, world, wanted=Wanted(), page=Page(PAGE, skip), as_of=AsOf(CUTOFF), now=NOW
        )
        assert (len(found), total) == (min(PAGE, SIZE), SIZE)
    taken = time.perf_counter() - began
    pages = -(-min(SIZE, 1_000) // PAGE)
    print(f"  a page of {PAGE}: {taken / pages * 1000:.0f} ms", flush=True)
    began, cpu = time.perf_counter(), time.process_time()
    found, _ = await list_open_invoices(
        registry, store, world, wanted=Wanted(), page=Page(SIZE, 0), as_of=AsOf(CUTOFF), now=NOW
    )
    whole, cpu = time.perf_counter() - began, time.process_time() - cpu
    amount = sum(one.amount_excluding_tax for one in found)
    print(f"  {len(found):,} invoices of {amount:,} in all: {whole:.1f} s, {cpu:.1f} s of CPU", flush=True)
    return whole


def main():
    """Measure both, and tell whether the goals were met."""
    slowest = rating()
    print("goal (200,000 lines/s):", "met" if slowest >= 200_000 else "missed", flush=True)
    folder = tempfile.mkdtemp(prefix="bench-rating-")
    store = Store.open(f"chdb://{folder}/store")
    registry = Registry(f"sqlite:///{folder}/registry.db")
    world = World("acc_bench", Mode.PROD)
    try:
        fill(store, SIZE, SIZE * EVENTS_EACH, 19 * 86_400_000_000)
        migrate_registry(registry)
        with registry.writing() as connection:
            sell(connection, world, SIZE)
        whole = asyncio.run(invoices(registry, store, world))
    finally:
        store.close()
        registry.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("goal (20 s for 10,000):", "met" if whole <= 20 * SIZE / 10_000 else "missed")


if __name__ == "__main__":
    sys.exit(main())
