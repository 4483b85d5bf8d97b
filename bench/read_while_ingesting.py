"""How long one customer's month takes to read over HTTP, while nothing comes in and while events do.

    python bench/read_while_ingesting.py            2 million stored events, 50,000 more a second for a minute
    RATE=20000 SIZE=50000000 python bench/read_while_ingesting.py

The whole product as `meterline up` starts it. Stored are 2,000 events a customer and month of 1,000 customers; what
comes in is of the newest month too, in batches of 5,000 with keys never seen. One client asks, one question after the
other, each of another customer. The goal is 100 ms (p95) for any aggregator while 50,000 events a second come in.
"""

import contextlib
import http.client
import itertools
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.end_to_end import Asking, loaded, send_for
from metering.aggregation import Operation
from metering.store.client import Store
from tests.pipeline.product import Product

SIZE = int(os.environ.get("SIZE", "2000000"))
RATE = float(os.environ.get("RATE", "50000"))
SECONDS = float(os.environ.get("SECONDS", "60"))
CUSTOMERS = 1_000
EVENTS_A_MONTH = 2_000 * CUSTOMERS
FORMULA = "CASE WHEN region = 'eu-west-1' THEN round(amount * 1.5, 2) ELSE coalesce(amount, 0) / 3 END"
MONTH = "start_date=2025-05-01T00:00:00Z&end_date=2025-06-01T00:00:00Z"

# A lane of their own, which no log has; month after month backwards.
_EVENTS = """
INSERT INTO events
SELECT {account:String}, {mode:String}, 'api_call', concat('cus_', leftPad(toString(number * 7919 % 1000), 4, '0')),
       toDateTime64('2025-05-01 00:00:00', 6, 'UTC') - toIntervalMonth(intDiv(number, {a_month:UInt64}))
           + toIntervalSecond(number % 2332800),
       toString(generateUUIDv4(number)), bitShiftLeft(toUInt64(60000), 48) + number, false,
       concat('{"amount":', toString(number % 97), '.25,"bytes":123456,"region":"eu-west-1"}'), now64(6)
FROM numbers({first:UInt64}, {count:UInt64})
"""
_APPLIED = "INSERT INTO applied SELECT 60000, bitShiftLeft(toUInt64(60000), 48) + {count:UInt64}, now64(6)"


def fill(product: Product) -> None:
    """Store events of the account that the product's key is of, while it does not run."""
    with contextlib.closing(sqlite3.connect(f"{product.data_dir}/registry.db")) as registry:
        account, mode = registry.execute("SELECT account_id, mode FROM api_keys").fetchone()
    store = Store.open(f"chdb://{product.data_dir}/store")
    at_once = min(SIZE, 1_000_000)
    for first in range(0, SIZE, at_once):
        parameters = {"account": account, "mode": mode, "a_month": EVENTS_A_MONTH, "first": first, "count": at_once}
        store.command(_EVENTS, parameters)
    store.command(_APPLIED, {"count": SIZE})
    store.command("OPTIMIZE TABLE events FINAL")
    store.close()


def aggregators(asking: Asking) -> dict[str, str]:
    """Make one of each operation, and one of a formula of 14 parts; give their ids by name."""
    made = {}
    for operation in [*Operation, "formula"]:
        what = {"operation": "sum", "formula_sql": FORMULA} if operation == "formula" else {"operation": operation}
        if operation not in {"formula", Operation.COUNT}:
            what["property"] = "amount"
        sent = {"name": str(operation), "entity": "api_call", **what}
        made[str(operation)] = asking.ask("POST", "/v1/aggregators", sent)["id"]
    return made


def timed(product: Product, paths: Iterator[tuple[str, str]], until: float, taken: dict[str, list[float]]) -> None:
    """Ask until a moment of the monotonic clock, one question after the other, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=120)
    while time.monotonic() < until:
        name, path = next(paths)
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {product.key}"})
        answer = connection.getresponse()
        told = answer.read()
        taken[name].append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise ValueError(f"{path} answered {answer.status}: {told[:300]!r}")
    connection.close()


def show(what: str, taken: dict[str, list[float]]) -> float:
    """Print each aggregator's times; give the worst 95th percentile in milliseconds."""
    print(f"{what}:")
    worst = 0.0
    for name, times in taken.items():
        p95 = statistics.quantiles(times, n=20)[18]
        worst = max(worst, p95)
        print(f"  {name:14} p50 {statistics.median(times):7.1f} ms   p95 {p95:7.1f} ms   ({len(times)})", flush=True)
    return worst


def main() -> int:
    """Measure, and tell whether the goal was met."""
    folder = Path(tempfile.mkdtemp(prefix="meterline-bench-"))
    product = Product(folder / "data", gateways=1)
    try:
        product.start()
        product.stop()
        fill(product)
        product.start()
        asking = Asking(product)
        made = aggregators(asking)
        paths = (
            (name, f"/v1/customers/cus_{number * 37 % CUSTOMERS:04d}/usage/{aggregator}?{MONTH}")
            for number in itertools.count()
            for name, aggregator in made.items()
        )
        with loaded(send_for, product, 5, RATE):  # So that each customer is known.
            pass
        while asking.lag():
            time.sleep(0.05)
        print(f"load {os.getloadavg()[0]:.1f}; {SIZE:,} events stored")
        quiet: dict[str, list[float]] = {name: [] for name in made}
        timed(product, paths, time.monotonic() + SECONDS / 2, quiet)
        show("while nothing comes in", quiet)
        busy: dict[str, list[float]] = {name: [] for name in made}
        with loaded(send_for, product, SECONDS, RATE) as (process, sent):
            began, at_first = time.monotonic(), sent.value
            while process.is_alive():
                timed(product, paths, time.monotonic() + 1, busy)
            rate = (sent.value - at_first) / (time.monotonic() - began)
        worst = show(f"while {rate:,.0f} events/s come in", busy)
    finally:
        product.stop()
        shutil.rmtree(folder)
    print("goal (100 ms while 50,000 events/s come in):", "met" if worst <= 100 and rate >= 49_000 else "missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
