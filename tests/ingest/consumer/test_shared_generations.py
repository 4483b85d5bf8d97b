"""Consumers that share the partitions of a log with a successor: keys move between partitions, nobody is overtaken."""

import asyncio
import random
from contextlib import suppress
from dataclasses import replace

import pytest

from ingest.consumer.consumer import Consumer
from ingest.consumer.dead_letters import MemoryDeadLetters
from ingest.errors import LogGrownError, LogUnavailableError
from ingest.log.chain import LogChain
from ingest.log.memory import MemoryLog, MemoryLogReader
from ingest.wire import encode
from metering.position import lane_of
from metering.store.memory import MemoryVersionStore
from metering.world import Mode, World
from tests.ingest.consumer.setting import Registrar, a_section, an_event
from tests.ingest.log.test_chain import NumberedLanes

WORLD = World("acc_1", Mode.TEST)


class Partitioned:
    """A log of several partitions, each a log in memory."""

    def __init__(self, log_id, partitions):
        self.log_id, self.partitions = log_id, partitions
        self.logs = [MemoryLog(f"{log_id}-{number}") for number in range(partitions)]

    async def ends(self):
        return {number: log.end.next_offset for number, log in enumerate(self.logs)}

    async def final_ends(self):
        return await self.ends()

    async def poll(self, after, *, events_max, wait_s_max):
        found = []
        for number, offset in after.items():
            reader = MemoryLogReader(self.logs[number])
            messages = await reader.poll({0: offset}, events_max=events_max, wait_s_max=0)
            found += [replace(message, partition=number) for message in messages]
        if not found:
            await asyncio.sleep(min(wait_s_max, 0.01))  # Others have their turn.
        return found


class Grown:
    """Two generations, of two partitions and of three, one store, and consumers that share them."""

    def __init__(self):
        self.generations = [Partitioned("log_1", 2), Partitioned("log_2", 3)]
        self.known = 1
        self.store, self.lanes = MemoryVersionStore(), NumberedLanes()

    def put(self, generation, partition, *events):
        section = a_section(WORLD, list(events))
        self.generations[generation].logs[partition].commit(encode((section,)), len(events))

    def consumer(self, *owned):
        async def find_next(count):
            return self.generations[count] if count < self.known else None

        chain = LogChain(self.generations[0], find_next)
        return Consumer(chain, self.store, self.lanes, Registrar(), MemoryDeadLetters(), only=frozenset(owned))

    async def figures(self):
        return {key.record_id: one for key, one in self.store.figures(await self.store.applied()).items()}


async def test_the_newer_log_waits_until_every_consumer_has_applied_the_older():
    """A key was in another consumer's partition before: its version of equal time there loses, however late it is
    applied."""
    log = Grown()
    log.put(0, 1, an_event("k", amount=1))
    log.put(1, 0, an_event("k", amount=2))
    log.known = 2
    early, late = log.consumer(0, 2), log.consumer(1, 3, 4)
    with pytest.raises(LogUnavailableError, match=r"\[1\] of the older log"):
        await early.start()
    await late.start()
    assert (await late.drain_once()).stored == 1
    with pytest.raises(LogGrownError):
        await late.drain_once()
    await early.start()
    drained = await early.drain_once()
    assert (drained.stored, drained.superseded) == (1, 1)
    found = (await log.figures())["k"]
    assert (found.properties, lane_of(found.position)) == (b'{"amount":2}', 2)


async def test_who_owns_nothing_of_the_newer_log_idles():
    """It asks nobody for anything, and does not fail."""
    log = Grown()
    log.put(0, 0, an_event("a"))
    log.known = 2
    consumer = log.consumer(0, 1)
    await consumer.start()
    assert (await consumer.drain_once()).stored == 1
    with pytest.raises(LogGrownError):
        await consumer.drain_once()
    await consumer.start()
    assert (await consumer.drain_once()).events == 0


async def test_partitions_that_are_not_known_yet_are_waited_for():
    """The group may hear of a new generation before this reader does."""
    log = Grown()
    with pytest.raises(LogUnavailableError, match="not known here yet"):
        await log.consumer(0, 2).start()


class SlowStore(MemoryVersionStore):
    """Marks after the next question to the log was answered."""

    async def mark_applied(self, *mark):
        await asyncio.sleep(0.02)
        await super().mark_applied(*mark)


async def test_consumers_that_run_come_to_the_end_of_both_logs():
    """What was read of the older log is written although the next question to it says that it is over."""
    log = Grown()
    log.store = SlowStore()
    for partition in range(2):
        log.put(0, partition, an_event(f"a{partition}"))
    for partition in range(3):
        log.put(1, partition, an_event(f"b{partition}"))
    log.known = 2
    consumers = [asyncio.create_task(run_as_a_part_does(log.consumer(*owned))) for owned in ((0, 2), (1, 3, 4))]
    async with asyncio.timeout(60):
        while set(await log.figures()) != {"a0", "a1", "b0", "b1", "b2"}:
            await asyncio.sleep(0.01)
    for consumer in consumers:
        consumer.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)


async def run_as_a_part_does(consumer):
    while True:
        try:
            await consumer.start()
            await consumer.run()
        except LogUnavailableError:
            await asyncio.sleep(0.01)


class Story:
    """Two consumers that take turns at random, and partitions that move between them at random."""

    def __init__(self, seed):
        self.chance, self.log = random.Random(seed), Grown()
        self.wanted, self.started = {}, {}

    def deal(self):
        partitions = list(range(5 if self.log.known == 2 else 2))
        first = {each for each in partitions if self.chance.random() < 0.5}
        self.started = {self.log.consumer(*owned): False for owned in (first, set(partitions) - first) if owned}

    def put(self, amount):
        key, generation = self.chance.randrange(12), self.log.known - 1
        self.wanted[f"k{key}"] = b'{"amount":%d}' % amount
        partition = key % self.log.generations[generation].partitions
        self.log.put(generation, partition, an_event(f"k{key}", amount=amount))

    async def turn(self):
        consumer = self.chance.choice(list(self.started))
        with suppress(LogUnavailableError):
            try:
                if not self.started[consumer]:
                    await consumer.start()
                    self.started[consumer] = True
                await consumer.drain_once()
            except LogGrownError:
                self.started[consumer] = False

    async def figures(self):
        return {key: one.properties for key, one in (await self.log.figures()).items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
async def test_whoever_reads_what_and_when_the_last_received_wins(seed):
    """The log grows in the middle; all timestamps are equal, so whatever is overtaken shows."""
    story = Story(seed)
    story.deal()
    for step in range(120):
        if step == 60:
            story.log.known = 2
            story.deal()
        story.put(step)
        if story.chance.random() < 0.05:
            story.deal()
        if story.chance.random() < 0.4:
            await story.turn()
    for _ in range(2_000):
        if await story.figures() == story.wanted:
            break
        await story.turn()
    assert await story.figures() == story.wanted
