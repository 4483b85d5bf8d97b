"""How fast does the consumer store fresh events, next to a bare insert of the same rows?

Every event has a key that was never seen (a random UUID), which is the usual case and the worst one for the store. The
bare insert writes the same columns, in batches of the same size, into a table of the same shape under the same
settings, in the same run. Then the same bytes are sent again, as a client does who reloads everything.

`python -m bench.consumer [events] [events in a section]`
"""

import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from ingest.consumer.batch import decode
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import StoreDeadLetters
from ingest.consumer.intake import BATCH_EVENTS_MAX
from ingest.consumer.lag import wait_until_applied
from ingest.consumer.lanes import accepted
from ingest.log.memory import MemoryLog, MemoryLogReader
from ingest.wire import Kind, Section, encode
from metering.store.chains import ChainStore
from metering.store.client import Store
from metering.store.columns import event_columns
from metering.store.migrations import migrate
from metering.store.versions import Versions
from metering.world import Mode, World

WORLD = World("acc_bench", Mode.PROD)
LANES = {0: 0}
WAIT_S_MAX = 900


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of processor time over all threads."""

    wall_s: float
    cpu_s: float


class OneLane:
    """A registry of lanes that has one."""

    async def lane_of(self, _log_id: str, partition: int) -> int:
        """Give the lane."""
        return LANES[partition]


class Anyone:
    """A registrar to whom everybody is known."""

    async def ensure(self, world: World, identifiers: set[str]) -> None:
        """Do nothing."""


def section(events: int, start: int) -> Section:
    """Give a section of fresh events over 31 days and 1,000 customers."""
    body = [
        {
            "customer_id": f"cus_{(start + index) * 7919 % 1000}",
            "timestamp": f"2025-05-{1 + (start + index) % 31:02d}T10:{(start + index) % 60:02d}:00.{index % 1000:03d}Z",
            "event_type": "api_call",
            "record": {"id": str(uuid.uuid4()), "amount": 1.25, "region": "eu-west-1", "bytes": 123_456 + index},
        }
        for index in range(events)
    ]
    return Section(WORLD, Kind.EVENTS, time.time_ns() // 1000, events, json.dumps(body).encode())


def log_of(events: int, size: int) -> MemoryLog:
    """Give a log with so many events, in sections of a size."""
    log = MemoryLog()
    for start in range(0, events, size):
        log.commit(encode((section(size, start),)), size)
    return log


def timed(work: Callable[[], object]) -> Took:
    """Run and measure."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


async def consume(store: Store, log: MemoryLog, started: Callable[[], None] = lambda: None) -> None:
    """Drain a log; `started` is told when the consumer knows where to begin, and which keys there are."""
    versions, reader = ChainStore(store), MemoryLogReader(log)
    consumer = Consumer(reader, versions, OneLane(), Anyone(), StoreDeadLetters(store))
    await consumer.start()
    started()
    running = asyncio.create_task(consumer.run())
    if not await wait_until_applied(versions, await accepted(reader, LANES), WAIT_S_MAX):
        raise TimeoutError(f"not applied within {WAIT_S_MAX} s")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def laid_out(log: MemoryLog, size: int) -> list[pa.Table]:
    """Give the rows of a log as they go into `events`, in batches as the consumer's."""
    messages, step = log.messages(0, 1 << 40), max(1, BATCH_EVENTS_MAX // size)
    batches = [decode(messages[at : at + step], LANES) for at in range(0, len(messages), step)]
    return [event_columns(part) for batch in batches for part in batch.parts if isinstance(part, Versions)]


def insert_bare(store: Store, batches: list[pa.Table]) -> None:
    """Insert rows, and nothing else."""
    for batch in batches:
        store.insert("events_bare", batch)


def main() -> None:
    """Measure and print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    log = log_of(events, size)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"chdb://{folder}")
        migrate(store)
        store.command("CREATE TABLE events_bare AS events")
        insert_bare(store, laid_out(log_of(20_000, 1_000), 1_000))  # The first insert of a process is slow.
        batches = laid_out(log, size)
        took = {"bare insert": timed(lambda: insert_bare(store, batches))}
        took["consumer, fresh"] = timed(lambda: asyncio.run(consume(store, log)))
        ((stored,),) = store.select("SELECT uniqExact(position) FROM events")
        if stored != events:
            raise ValueError(f"{stored} events in the store instead of {events}")
        for message in log.messages(0, 1 << 40):
            log.commit(message.payload, size)
        took["consumer, again"] = timed(lambda: asyncio.run(consume(store, log)))
        store.close()
    for name, one in took.items():
        each = f"{one.wall_s / events * 1e6:5.2f} us, CPU {one.cpu_s / events * 1e6:5.2f} us"
        share = took["bare insert"].wall_s / one.wall_s
        print(f"{name:16} {events / one.wall_s:10,.0f} events/s  {each}  {share:5.0%} of bare")
    print(f"{events:,} events in sections of {size:,}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
