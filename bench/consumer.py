"""How fast does the consumer store fresh events, next to a bare insert of the same rows?

Every event has a key that was never seen (a random UUID), which is the usual case and the worst one for the store. The
bare insert writes the same columns, in batches of the same size, into a table of the same shape under the same
settings, in the same run. `python bench/consumer.py [events] [sections of]`
"""

import asyncio
import json
import os
import sys
import tempfile
import time
import uuid

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
from metering.world import Mode, World

WORLD = World("acc_bench", Mode.PROD)
LANES = {0: 0}


class OneLane:
    """A registry of lanes that has one."""

    async def lane_of(self, _log_id, partition):
        """Give the lane."""
        return LANES[partition]


class Anyone:
    """A registrar to whom everybody is known."""

    async def ensure(self, _world, _identifiers):
        """Do nothing."""


def section(events, start):
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


def log_of(events, size):
    """Give a log with so many events, in sections of a size."""
    log = MemoryLog()
    for start in range(0, events, size):
        log.commit(encode((section(size, start),)), size)
    return log


async def consume(store, log):
    """Drain a log and give the seconds it took."""
    versions = ChainStore(store)
    consumer = Consumer(MemoryLogReader(log), versions, OneLane(), Anyone(), StoreDeadLetters(store))
    await consumer.start()
    wanted = accepted(MemoryLogReader(log), LANES)
    began, began_cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(consumer.run())
    assert await wait_until_applied(versions, wanted, timeout_s=600)
    seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return seconds, cpu


def bare(store, log):
    """Insert the same rows, already laid out, and give the seconds it took."""
    store.command("DROP TABLE IF EXISTS events_bare")
    store.command("CREATE TABLE events_bare AS events")
    messages = log.messages(0, 1 << 40)
    tables = [event_columns(part) for message in messages for part in decode([message], LANES).parts]
    size = max(1, BATCH_EVENTS_MAX // len(tables[0]))
    batches = [pa.concat_tables(tables[at : at + size]).unify_dictionaries() for at in range(0, len(tables), size)]
    began, began_cpu = time.perf_counter(), time.process_time()
    for batch in batches:
        store.insert("events_bare", batch)
    return time.perf_counter() - began, time.process_time() - began_cpu


def main():
    """Measure and print."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    log = log_of(events, size)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"chdb://{folder}")
        migrate(store)
        bare(store, log_of(20_000, 1_000))
        bare_s, bare_cpu = bare(store, log)
        consumer_s, consumer_cpu = asyncio.run(consume(store, log))
        ((stored,),) = store.select("SELECT uniqExact(position) FROM events")
        assert stored == events, stored
        store.close()
    for name, seconds, cpu in (("bare insert", bare_s, bare_cpu), ("consumer", consumer_s, consumer_cpu)):
        each = f"{seconds / events * 1e6:6.2f} us/event, CPU {cpu / events * 1e6:.2f} us"
        print(f"{name:12} {events / seconds:10,.0f} events/s {each}")
    of_what = f"{events:,} fresh keys in sections of {size:,}"
    print(f"ratio        {bare_s / consumer_s:10.0%} on {os.cpu_count()} cores, {of_what}")


if __name__ == "__main__":
    main()
