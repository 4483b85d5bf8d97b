"""Consumers that share a topic through Kafka's group: who reads what, takeovers, and figures that stay exact."""

import asyncio
import contextlib
import json
from uuid import uuid4

import pytest

from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import MemoryDeadLetters
from ingest.consumer.sharing import run_shared
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.group import KafkaGroup
from ingest.log.kafka.reader import KafkaLogReader
from ingest.log.kafka.writer import KafkaLogWriter
from ingest.wire import Kind, Section
from metering.store.memory import MemoryVersionStore
from metering.world import Mode, World
from tests.ingest.consumer.setting import Registrar

pytestmark = pytest.mark.slow

WORLD = World("acc_1", Mode.TEST)
NOON_MS = 1_714_996_800_000


class PartitionLanes:
    async def lane_of(self, _log_id, partition):
        return partition


class Member:
    """One consumer process, as far as a test in one process can have it."""

    def __init__(self, address, store):
        self.address = address
        self.store = store

    async def __aenter__(self):
        self.reader = await KafkaLogReader.open(self.address)
        self.group = await KafkaGroup.join(self.address, "g")
        self.running = asyncio.create_task(run_shared(self.group, self.consumer))
        return self

    def consumer(self, owned):
        return Consumer(
            self.reader,
            self.store,
            PartitionLanes(),
            Registrar(),
            MemoryDeadLetters(),
            only=owned,
            applied_hint=self.group.applied,
        )

    async def __aexit__(self, *_):
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        await self.group.close()
        await self.reader.close()


async def until(condition, seconds=60):
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_two_consumers_share_and_one_takes_over(kafka):
    """Each owns half; when one leaves, the other has all; each event is counted once, under its latest version."""
    address = KafkaAddress(kafka.addresses, f"t-{uuid4().hex}", 4)
    store = MemoryVersionStore()
    writer = await KafkaLogWriter.open(address)
    serial = 0

    async def send(count):
        nonlocal serial
        for _ in range(count):
            events = [
                {
                    "customer_id": "c",
                    "timestamp": NOON_MS + serial,
                    "event_type": "t",
                    "record": {"id": f"k{k}", "n": serial},
                }
                for k in range(200)
            ]
            await writer.append(Section(WORLD, Kind.EVENTS, 0, len(events), json.dumps(events).encode()))
            serial += 1

    async def applied():
        figures = store.figures(await store.applied())
        stamps = {version.timestamp_us for version in figures.values()}
        return len(figures) == 200 and stamps == {(NOON_MS + serial - 1) * 1000}

    await send(3)
    async with Member(address, store) as first:
        async with Member(address, store) as second:

            async def shared():
                return len(first.group.owned) == len(second.group.owned) == 2

            await until(shared)
            assert first.group.owned | second.group.owned == {0, 1, 2, 3}
            await send(20)
            await until(applied)
        await send(20)

        async def took_over():
            return first.group.owned == {0, 1, 2, 3}

        await until(took_over)
        await until(applied)
    await writer.close()
