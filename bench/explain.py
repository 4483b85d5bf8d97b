"""How long it takes to open a line of a million events: a page wherever it lies, and all of them as a file.

    python bench/explain.py         1 million events of one customer's month
    SIZE=5000000 python bench/explain.py
    OPERATION=unique PROPERTY=id python bench/explain.py

The line is in three tiers of a sum or another figure. A page of 100 is read at the begin, in the middle and at the end,
with the invoice that it stands on; then all events are written as CSV and as Parquet, part by part, as they would be
sent.
"""

import asyncio
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import rating

import billing.tables  # noqa: F401 - declares its tables in the registry's metadata.
from billing.explained.lines import events_on_page, explain_invoice
from billing.exports.columns import columns_of, rows_of
from billing.exports.csv_file import CsvFile
from billing.exports.parquet_file import ParquetFile
from billing.invoices.open import list_open_invoices
from billing.invoices.registry import Wanted
from metering.api.asof import AsOf
from metering.http.paging import Page
from metering.registry.engine import Registry
from metering.registry.migrate import migrate as migrate_registry
from metering.store.client import Store
from metering.world import Mode, World

EVENTS = int(os.environ.get("SIZE", "1000000"))
OPERATION, PROPERTY = os.environ.get("OPERATION", "sum"), os.environ.get("PROPERTY", "amount")
AT = AsOf(rating.CUTOFF)
SPAN_US = 19 * 86_400_000_000


def peak_mib():
    """Give the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def explained(registry, store, world):
    """Open the one invoice there is."""
    (invoice,), _ = await list_open_invoices(
        registry, store, world, wanted=Wanted(), page=Page(1, 0), as_of=AT, now=rating.NOW
    )
    return await explain_invoice(registry, store, world, invoice_id=invoice.id, as_of=AT, now=rating.NOW)


async def measure(registry, store, world, folder):
    """Read pages, and write files."""
    for skip in (0, EVENTS // 2, EVENTS - 100):
        began = time.perf_counter()
        found = await explained(registry, store, world)
        lines_s = time.perf_counter() - began
        events = events_on_page(found.lines, Page(100, skip))
        assert len(events) == 100
        whole = time.perf_counter() - began
        print(f"  a page at {skip:,}: {whole * 1000:.0f} ms, {lines_s * 1000:.0f} ms of it the invoice", flush=True)
    total = found.invoice.amount_excluding_tax
    for name, make in (("CSV", CsvFile), ("Parquet", ParquetFile)):
        before, began = peak_mib(), time.perf_counter()
        file = make(columns_of(found.lines, None))
        amount = 0
        with (Path(folder) / name).open("wb") as out:
            out.write(file.head())
            for rows in rows_of(found, found.lines):
                amount += sum((row.event or row.entry).added.amount for row in rows)
                out.write(file.rows(rows))
            out.write(file.end())
            size = out.tell()
        assert amount == total
        taken, more = time.perf_counter() - began, peak_mib() - before
        print(f"  {name}: {taken:.1f} s, {size / 2**20:.0f} MiB, {more:.0f} MiB more memory at most", flush=True)


def main():
    """Fill a store, and measure."""
    folder = tempfile.mkdtemp(prefix="bench-explain-")
    store = Store.open(f"chdb://{folder}/store")
    registry = Registry(f"sqlite:///{folder}/registry.db")
    world = World("acc_bench", Mode.PROD)
    try:
        rating.fill(store, 1, EVENTS, SPAN_US)
        migrate_registry(registry)
        with registry.writing() as connection:
            rating.sell(connection, world, 1, OPERATION, PROPERTY)
        print(f"{EVENTS:,} events behind one line, {OPERATION} of {PROPERTY}:")
        asyncio.run(measure(registry, store, world, folder))
    finally:
        store.close()
        registry.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
