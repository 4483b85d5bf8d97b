"""How long figures take to read: one customer's month, all customers' month, a page of events; merged and not.

    python bench/read.py            2 million events
    SIZE=10000000 python bench/read.py

The events are 2,000 a customer and month over three months, 2 in 100 corrected (the same record id, a later version),
written in 60 batches over time as a consumer writes them. Goals at 10 million: one customer's month within 30 ms when
merged and 100 ms when not. Set CEILING=1 to fail beyond them.
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from metering.aggregation import ADDS_UP, Aggregator, Operation
from metering.filters import decode_filter
from metering.formulas import parse_formula
from metering.position import Cutoff, Position
from metering.ranges import Range
from metering.store.client import Store
from metering.store.current import Selection
from metering.store.explorer import Explorer
from metering.store.migrations import migrate
from metering.store.rollups.keeper import RollupKeeper
from metering.store.rollups.manifest import forget_world
from metering.store.rollups.reader import RolledUpReader
from metering.store.usage import Scope, UsageReader
from metering.timestamps import DAY
from metering.windows import Granularity, boundaries
from metering.world import Mode, World
from metering.zones import zone_named

SIZE = int(os.environ.get("SIZE", "2000000"))
BATCHES = int(os.environ.get("BATCHES", "60"))
ROUNDS = 40
EVENTS_A_MONTH = 2_000
MONTHS = 3
START_US = 1_704_067_200_000_000  # 2024-01-01, three months of 31, 29 and 31 days.
SPAN_US = 91 * DAY
CUSTOMERS = max(1, SIZE // EVENTS_A_MONTH // MONTHS)
WORLD = World("acc_bench", Mode.PROD)
FEBRUARY = (START_US + 31 * DAY, START_US + 60 * DAY)
MARCH = (START_US + 60 * DAY, START_US + 91 * DAY)
FORMULA = parse_formula("CASE WHEN method = 'post' THEN round(amount * 1.5, 2) ELSE coalesce(amount, 0) / 3 END")
OPERATIONS = [
    *(Aggregator("call", operation, "amount") for operation in Operation if operation not in ADDS_UP),
    Aggregator("call", Operation.SUM, formula=FORMULA),
]
CUTOFF = Cutoff({1: Position((2 << 48) - 1)})

# Event n falls at its share of the three months, for customer n modulo customers; every 50th is sent again at once
# with another amount, so that its first version loses.
_EVENTS = """
INSERT INTO events
SELECT 'acc_bench', 'prod', 'call', concat('cus_', toString(event % {customers:UInt64})),
       fromUnixTimestamp64Micro(
           toInt64({start:Int64} + event * {step:Int64} + if(again, 1000000, 0)), 'UTC'),
       hex(sipHash128(event)), bitShiftLeft(toUInt64(1), 48) + event * 2 + again, false,
       concat('{{"amount":', toString(event % 1000 + again), '.', toString(event % 89 + 10), ',"method":"',
              ['get', 'post', 'put'][event % 3 + 1], '","region":"eu-', toString(event % 7), '"}}'),
       fromUnixTimestamp64Micro(toInt64({start:Int64} + event * {step:Int64}), 'UTC')
FROM (SELECT number AS event, arrayJoin(if(number % 50 = 0, [false, true], [false])) AS again
      FROM numbers({first:UInt64}, {count:UInt64}))
"""
_SUPERSEDED = """
INSERT INTO superseded
SELECT 'acc_bench', 'prod', 'call', concat('cus_', toString(event % {customers:UInt64})),
       fromUnixTimestamp64Micro(toInt64({start:Int64} + event * {step:Int64}), 'UTC'),
       hex(sipHash128(event)), bitShiftLeft(toUInt64(1), 48) + event * 2, bitShiftLeft(toUInt64(1), 48) + event * 2 + 1
FROM (SELECT number AS event FROM numbers({first:UInt64}, {count:UInt64}) WHERE number % 50 = 0)
"""
_BARE = """
SELECT customer_id, sum(toDecimal256OrNull(simpleJSONExtractRaw(properties, 'amount'), 18)), count()
FROM events
WHERE account_id = 'acc_bench' AND mode = 'prod' AND event_type = 'call'
  AND timestamp >= fromUnixTimestamp64Micro({start:Int64}) AND timestamp < fromUnixTimestamp64Micro({end:Int64})
GROUP BY customer_id
"""


def fill(store: Store) -> None:
    """Write the events in batches over time, and let nothing be merged meanwhile."""
    for table in ("events", "superseded"):
        store.command(f"SYSTEM STOP MERGES {table}")
    edges = [SIZE * batch // BATCHES for batch in range(BATCHES + 1)]
    for first, end in pairwise(edges):
        parameters = {"customers": CUSTOMERS, "start": START_US, "step": SPAN_US // SIZE}
        parameters |= {"first": first, "count": end - first}
        for statement in (_EVENTS, _SUPERSEDED):
            store.command(statement.replace("{{", "{").replace("}}", "}"), parameters)


def merge(store: Store) -> None:
    """Merge each month into one part."""
    for table in ("events", "superseded"):
        store.command(f"SYSTEM START MERGES {table}")
        store.command(f"OPTIMIZE TABLE {table} FINAL")


def timed(name: str, ask: Callable[[int], Any], rounds: int = ROUNDS) -> float:
    """Print the median and the 95th percentile of a question asked again and again; give the latter in milliseconds."""
    taken = []
    for number in range(rounds):
        start = time.perf_counter()
        ask(number)
        taken.append((time.perf_counter() - start) * 1000)
    worst = statistics.quantiles(taken, n=20)[18]
    print(f"  {name:58} p50 {statistics.median(taken):8.1f} ms   p95 {worst:8.1f} ms")
    return worst


def measure(store: Store) -> float:
    """Ask everything, and give the 95th percentile of one customer's month."""
    reader, explorer = UsageReader(store), Explorer(store)
    total = Aggregator("call", Operation.SUM, "amount")
    count = Aggregator("call", Operation.COUNT)
    posted = decode_filter({"fields": [{"property": "method", "operator": "equals", "value": "post"}]})
    filtered = Aggregator("call", Operation.SUM, "amount", posted)
    everyone = Scope(WORLD, CUTOFF, *FEBRUARY)
    days = boundaries(Range(*FEBRUARY, zone_named("Europe/Paris")), Granularity.DAY)

    def one(number: int) -> Scope:
        return Scope(WORLD, CUTOFF, *FEBRUARY, [f"cus_{number * 37 % CUSTOMERS}", "external"])

    def page(number: int) -> Selection:
        return Selection(WORLD, CUTOFF, ["call"], customer_ids=one(number).customer_ids)

    one(0)
    month = timed("one customer's month: sum", lambda number: reader.total(one(number), total))
    timed("one customer's month: count", lambda number: reader.total(one(number), count))
    timed("one customer's month: sum with a filter", lambda number: reader.total(one(number), filtered))
    timed(
        "one customer's month: 5 aggregators", lambda number: reader.totals(one(number), [total, count, filtered] * 2)
    )
    for each in OPERATIONS:
        told = each.operation.value if each.formula is None else f"{each.operation.value} of a formula"
        timed(f"one customer's month: {told}", lambda number, each=each: reader.total(one(number), each))
    timed("one customer's month by day", lambda number: reader.timeseries(one(number), total, days))
    timed("one customer's month by group", lambda number: reader.by_group(one(number), total, [posted]))
    timed("one customer's month: values in order", lambda number: list(reader.values(one(number), total)))
    timed("one customer's events: a page of 50", lambda number: explorer.events(page(number), take=50))
    few = 5
    timed("all customers' month", lambda _: reader.by_customer(everyone, total), few)
    timed(
        "all customers' month, bare GROUP BY",
        lambda _: store.select(_BARE, dict(zip(("start", "end"), FEBRUARY, strict=True))),
        few,
    )
    for each in OPERATIONS:
        told = each.operation.value if each.formula is None else f"{each.operation.value} of a formula"
        timed(f"all customers' month: {told}", lambda _, each=each: reader.by_customer(everyone, each), few)
    timed("all customers' month by day", lambda _: reader.timeseries(everyone, total, days), few)
    timed("all events: a page of 50, newest first", lambda _: explorer.events(Selection(WORLD, CUTOFF), take=50), few)
    timed("all events: count", lambda _: explorer.count(Selection(WORLD, CUTOFF)), few)
    timed("one key's versions", lambda _: explorer.versions(WORLD, CUTOFF, "call", "0" * 32), few)
    timed("spans of all types", lambda _: reader.spans(WORLD, CUTOFF), few)
    timed("types", lambda _: explorer.event_types(WORLD), few)
    rolled_up(store)
    now = START_US + SPAN_US
    timed("events accepted a minute", lambda _: explorer.accepted_per_minute(WORLD, minutes=60, now_us=now), few)
    return month


def rolled_up(store: Store) -> None:
    """Ask what is asked of all customers from rollups: brought up, and with some events since."""
    total, count = Aggregator("call", Operation.SUM, "amount"), Aggregator("call", Operation.COUNT)
    everyone = Scope(WORLD, CUTOFF, *MARCH)
    days = boundaries(Range(*MARCH, zone_named("Europe/Paris")), Granularity.DAY)
    for behind in (10_000, 0):
        known = Cutoff({1: Position((1 << 48) + 2 * (SIZE - behind) - 1)}) if behind else CUTOFF

        async def applied(known: Cutoff = known) -> Cutoff:
            return known

        keeper = RollupKeeper(store, applied, asked_min=1)
        reader = RolledUpReader(store, keeper)
        forget_world(store, WORLD)
        for aggregator in (total, count):
            reader.by_customer(everyone, aggregator)
        start, cpu = time.perf_counter(), time.process_time()
        asyncio.run(keeper.work_off())
        took = f"{time.perf_counter() - start:.1f} s, CPU {time.process_time() - cpu:.1f} s"
        print(f"  rollups of two aggregators in {took}; {behind:,} events came since:")
        if reader.by_customer(everyone, total) != UsageReader(store).by_customer(everyone, total):
            raise ValueError("a rollup says something else than the events")
        timed("all customers' month, from a rollup", lambda _, reader=reader: reader.by_customer(everyone, total))
        timed("all customers' month by day", lambda _, reader=reader: reader.timeseries(everyone, total, days))
        timed("all customers' month, one figure", lambda _, reader=reader: reader.total(everyone, total))
        timed("spans of all types", lambda _, reader=reader: reader.spans(WORLD, CUTOFF))
        keeper.close()


def main() -> int:
    """Fill a store, measure it unmerged and merged, and tell whether the goals were met."""
    folder = tempfile.mkdtemp(prefix="bench-read-")
    store = Store.open(f"chdb://{folder}")
    try:
        migrate(store)
        start = time.perf_counter()
        fill(store)
        print(f"{SIZE:,} events of {CUSTOMERS:,} customers in {time.perf_counter() - start:.0f} s")
        print(f"{store.select('SELECT count() FROM system.parts WHERE active')[0][0]} parts, not merged:")
        unmerged = measure(store)
        start = time.perf_counter()
        merge(store)
        print(f"merged in {time.perf_counter() - start:.0f} s:")
        merged = measure(store)
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)
    met = merged <= 30 and unmerged <= 100
    print("goals (30 ms merged, 100 ms not):", "met" if met else "missed")
    return 0 if met or not os.environ.get("CEILING") else 1


if __name__ == "__main__":
    sys.exit(main())
