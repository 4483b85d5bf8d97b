"""How fast do rows come from a database into the durable log, next to reading them alone and appending them alone?

A real PostgreSQL on this machine, a table of SIZE rows with random UUIDs as ids, 1,000 customers and three properties.
Four measurements in the same run, each on one core (the database has the others):

- end to end: a run as `meterline loaders` works on it, with its registry, until its end is saved;
- bare source: the pages of the source, thrown away;
- events alone: pages that lie in memory made into events, judged, their ids told apart;
- bare append: the same events appended to the local log, each page durable before the next.

The memory is the most that the process had in the end to end run, and may be 300 MiB. What is wanted of a core is told
by its processor time, so that it holds where others use the machine too. `SIZE=10000000 python -m bench.loaders`
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ingest.log.local.writer import LocalLogWriter
from ingest.wire import Kind, Section
from loaders.connections.tables import connections
from loaders.dataloaders.model import Dataloader, Trigger
from loaders.dataloaders.registry import create_dataloader
from loaders.dataloaders.runs import begin_run, list_runs
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.met_ids import MetIds
from loaders.opening import open_source
from loaders.provider import Address, Provider
from loaders.rows import EventMaker
from loaders.running.runner import LoaderRunner
from loaders.running.work import Means
from metering.registry.accounts import create_account
from metering.registry.engine import Registry
from metering.registry.migrate import migrate
from metering.world import Mode, World
from tests.peers.postgres.server import Postgres

ROWS = int(os.environ.get("SIZE", "1000000"))
PAGE_ROWS = 5000
KEPT_PAGES = 40
GOAL_ROWS_S = 100_000
MEMORY_GOAL_MIB = 300
QUERY = 'SELECT id, customer AS "customerId", at AS timestamp, tokens, price, region FROM calls'
TABLE = f"""
CREATE TABLE calls AS SELECT gen_random_uuid() AS id, 'cus_' || n % 1000 AS customer,
    timestamptz '2026-01-01Z' + n * interval '0.1 s' AS at, n % 4096 AS tokens, (n % 100000)::numeric / 10000 AS price,
    'eu-west-1' AS region FROM generate_series(1, {ROWS}) n
"""


class One:
    """The one connection."""

    def __init__(self, address: Address):
        self.address = address

    def address_of(self, _world: World, _connection_id: str) -> Address:
        """Give it."""
        return self.address


def opened(address: Address):
    """Give the source, limited as the product does."""
    return open_source(address, HostPolicy(), SourceLimits(statement_s_max=3600))


def told(name: str, rows: int, began: float, cpu: float) -> tuple[float, float]:
    """Print and give rows a second, by the clock and of this process's processor time."""
    took, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    print(f"  {name:<14} {rows / took:>10,.0f} rows/s   {cpu_s / rows * 1e6:5.2f} us of CPU a row")
    return rows / took, rows / cpu_s


def bare_source(address: Address) -> tuple[float, list]:
    """Read all pages, and keep the first ones."""
    source = opened(address)
    source.ping()
    kept, rows = [], 0
    began, cpu = time.perf_counter(), time.process_time()
    for page in source.pages(QUERY, {}, page_rows_max=PAGE_ROWS):
        rows += page.rows
        if len(kept) < KEPT_PAGES:
            kept.append(page)
    speed, _ = told("bare source", rows, began, cpu)
    source.close()
    return speed, kept


def events_alone(pages: list, folder: Path) -> tuple[float, list]:
    """Make events of pages."""
    began, cpu = time.perf_counter(), time.process_time()
    with MetIds(folder) as met:
        maker = EventMaker("call", '"', met)
        made = [maker.made(page) for page in pages]
    speed, _ = told("events alone", sum(one.rows for one in made), began, cpu)
    return speed, made


async def bare_append(made: list, folder: Path) -> float:
    """Append events, each page durable before the next."""
    writer = await LocalLogWriter.open(folder)
    world = World("acc_bench", Mode.PROD)
    began, cpu = time.perf_counter(), time.process_time()
    for one in made:
        await writer.append(Section(world, Kind.EVENTS, time.time_ns() // 1000, one.events, one.body))
    speed, _ = told("bare append", sum(one.events for one in made), began, cpu)
    await writer.close()
    return speed


def a_loader(registry: Registry, provider: Provider, query: str) -> Dataloader:
    """Give a dataloader whose run waits."""
    now = datetime.now(UTC)
    with registry.writing() as connection:
        world = World(create_account(connection, "bench", now).id, Mode.PROD)
        owner = {"account_id": world.account_id, "mode": world.mode.value, "created_at": now, "updated_at": now}
        values = {"id": "con_1", "provider": provider, "name": "bench", "shown": {}, "secret": "", "warnings": []}
        connection.execute(connections.insert().values(**owner, **values))
        fields = {"connection_id": "con_1", "event_type": "call", "query": query}
        loader = create_dataloader(connection, world, fields, now)
        begin_run(connection, loader, Trigger.MANUAL, now)
    return loader


async def end_to_end(address: Address, folder: Path, query: str = QUERY, rows: int = ROWS) -> tuple[float, float]:
    """Have the run worked on."""
    registry = Registry(f"sqlite:///{folder}/registry.db")
    migrate(registry)
    loader = a_loader(registry, address.provider, query)
    writer = await LocalLogWriter.open(folder / "log")
    means = Means(registry, writer, One(address), opened, lambda: datetime.now(UTC), folder)
    began, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(LoaderRunner(means).run())
    while True:
        await asyncio.sleep(0.05)
        (run,), _ = await registry.read(partial(list_runs, take=1, skip=0), loader.world, loader.id)
        if run.ended_at is not None:
            break
    assert (run.status, run.counts.rows_accepted) == ("done", rows), run
    speeds = told("end to end", rows, began, cpu)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await writer.close()
    registry.close()
    return speeds


async def main() -> int:
    """Measure; gives the exit code."""
    with Postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        postgres.run(TABLE, "VACUUM (ANALYZE) calls")
        address = Address(Provider.POSTGRES, url=postgres.url())
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # The threads of this process, which come now.
        print(f"PostgreSQL to the durable log, {ROWS:,} rows, on one core")
        speed, of_core = await end_to_end(address, Path(folder))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Before pages are kept below.
        source, pages = bare_source(address)
        events, made = events_alone(pages, Path(folder))
        append = await bare_append(made, Path(folder) / "bare")
        together = 1 / (1 / source + 1 / events + 1 / append)
        print(f"  end to end is {speed / together:.0%} of the others in turn, {speed / source:.0%} of the bare source")
        print(f"  memory {memory:,.0f} MiB, {MEMORY_GOAL_MIB} at most")
        reached = of_core >= GOAL_ROWS_S and memory <= MEMORY_GOAL_MIB
        verdict = "reached" if reached else "MISSED"
        print(f"  {verdict}: {of_core:,.0f} rows for a second of a core, {GOAL_ROWS_S:,} wanted")
        return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
