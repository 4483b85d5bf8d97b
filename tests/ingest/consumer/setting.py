"""A log, a store and what a consumer needs besides, for tests that tell one story."""

import json

from ingest import deletion
from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import MemoryDeadLetters
from ingest.log.memory import MemoryLog, MemoryLogReader
from ingest.wire import Kind, Section, encode
from metering.store.memory import MemoryVersionStore

NOON = "2024-05-06T12:00:00Z"


def an_event(record_id="r1", *, customer_id="cus_1", timestamp=NOON, event_type="call", **properties):
    return {
        "customer_id": customer_id,
        "timestamp": timestamp,
        "event_type": event_type,
        "record": {"id": record_id, **properties},
    }


def a_section(world, events, *, count=None, received_at_us=0):
    body = events if isinstance(events, bytes) else json.dumps(events).encode()
    return Section(world, Kind.EVENTS, received_at_us, len(events) if count is None else count, body)


def a_deletion(retraction):
    return Section(retraction.world, Kind.DELETION, 0, 1, deletion.encode(retraction))


class OneLane:
    def __init__(self, lane=0):
        self.lane = lane

    async def lane_of(self, _log_id, _partition):
        return self.lane


class Registrar:
    def __init__(self):
        self.calls = []

    async def ensure(self, world, identifiers):
        self.calls.append((world, set(identifiers)))


class Setting:
    """One of each."""

    def __init__(self, store=None, *, lane=0, **options):
        self.log = MemoryLog()
        self.reader = MemoryLogReader(self.log)
        self.store = store or MemoryVersionStore()
        self.lanes = OneLane(lane)
        self.registrar = Registrar()
        self.dead_letters = MemoryDeadLetters()
        self.options = options

    def put(self, *sections):
        """Append one message."""
        return self.log.commit(encode(sections), sum(section.events for section in sections))

    async def consumer(self):
        consumer = Consumer(self.reader, self.store, self.lanes, self.registrar, self.dead_letters, **self.options)
        await consumer.start()
        return consumer

    async def drain(self):
        return await (await self.consumer()).drain_once()

    async def figures(self):
        """What readers see now, by record id (of the memory store)."""
        return {key.record_id: version for key, version in self.store.figures(await self.store.applied()).items()}
