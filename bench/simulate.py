"""How long a simulation takes: two drafts over the usage of all customers, beside what they pay.

    python bench/simulate.py        5 million events
    SIZE=50000000 python bench/simulate.py

10,000 subscribed customers, three months of usage, 2 % corrected, one draft of three tiers and one matrix, so that
usage is counted in two ways a month. What is measured is the work of the background job: counting, rating, summing up.
The goal is a minute for 50 million events on 2 cores. FOLDER keeps the events, and finds them there the next time.
"""

import os
import shutil
import sys
import tempfile
import time

import rating

import billing.tables  # noqa: F401 - declares its tables in the registry's metadata.
from billing.catalog.model import PriceGroup
from billing.simulations.model import Asked, Draft
from billing.simulations.parties import read_parties
from billing.simulations.rating import summary_of
from billing.simulations.work import Work
from metering.registry.engine import Registry
from metering.registry.migrate import migrate as migrate_registry
from metering.store.client import Store
from metering.store.migrations import migrate
from metering.world import Mode, World

EVENTS = int(os.environ.get("SIZE", "5000000"))
CUSTOMERS = 10_000
GOAL = 50_000_000
SPAN_US = 90 * 86_400_000_000
START_US = 1_706_745_600_000_000
VISA = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}


def main():
    """Fill a store, simulate, and tell whether the goal was met."""
    folder = tempfile.mkdtemp(prefix="bench-simulate-")
    kept = os.environ.get("FOLDER", f"{folder}/store")
    store = Store.open(f"chdb://{kept}")
    registry = Registry(f"sqlite:///{folder}/registry.db")
    world = World("acc_bench", Mode.PROD)
    try:
        migrate(store)
        if not store.select("SELECT count() FROM events")[0][0]:
            rating.fill(store, CUSTOMERS, EVENTS, SPAN_US, corrected=True)
        parts = store.select("SELECT count() FROM system.parts WHERE active AND table = 'events'")[0][0]
        migrate_registry(registry)
        with registry.writing() as connection:
            product, _ = rating.sell(connection, world, CUSTOMERS)
        rows = rating.MODELS
        drafts = [
            Draft("tiers", [PriceGroup(None, rows["volume, in full"])]),
            Draft(
                "matrix", [PriceGroup(VISA, rows["bulk"]), PriceGroup(None, rows["volume, 3 tiers"])], min_amount=500
            ),
        ]
        asked = Asked(product.id, "EUR", START_US, START_US + SPAN_US, "UTC", None, drafts)
        began, cpu = time.perf_counter(), time.process_time()
        with registry.reading() as connection:
            parties = read_parties(connection, world, asked, rating.NOW)
        assert parties is not None
        read_s = time.perf_counter() - began
        work = Work(store, world, rating.CUTOFF, asked, parties)
        counted_s = None
        for progress in work.steps():
            if progress >= 80 and counted_s is None:
                counted_s = time.perf_counter() - began
        summary = summary_of([draft.name for draft in drafts], work.outcomes)
        whole, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"{EVENTS:,} events, 2 % corrected, in {parts} parts, {summary['customers']:,} customers:")
        print(f"  read {read_s:.1f} s, counted after {counted_s:.1f} s, all after {whole:.1f} s; {cpu:.1f} s of CPU")
        print(f"  totals {summary['totals']}, now {summary['current_total']:,}")
    finally:
        store.close()
        registry.close()
        shutil.rmtree(folder, ignore_errors=True)
    expected = whole + (GOAL - EVENTS) / EVENTS * (counted_s - read_s)
    told = "met" if expected <= 60 else "missed"
    print(f"goal (60 s for 50 million): {told}; counting at this rate they would take {expected:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
