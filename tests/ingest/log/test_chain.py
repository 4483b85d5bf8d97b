"""Several logs read as one: the older ones to their ends first, and growth is told."""

import pytest

from ingest.errors import LogGrownError
from ingest.log.chain import LogChain
from ingest.log.memory import MemoryLog, MemoryLogReader
from ingest.wire import encode
from metering.position import lane_of
from metering.world import Mode, World
from tests.ingest.consumer.setting import Setting, a_section, an_event

WORLD = World("acc_1", Mode.TEST)


class Reader(MemoryLogReader):
    """A log of one partition that may have a successor."""

    partitions = 1

    async def final_ends(self):
        return await self.ends()


class NumberedLanes:
    """Each log's lane, in the order in which they are asked for."""

    def __init__(self):
        self.lanes = {}
        self.older = {}

    async def lane_of(self, log_id, partition, older=()):
        self.older[log_id] = tuple(older)
        return self.lanes.setdefault((log_id, partition), len(self.lanes))


class Chained(Setting):
    """A consumer's surroundings over two logs, the second of which is there when a test says so."""

    def __init__(self):
        super().__init__()
        self.logs = [MemoryLog("log_1"), MemoryLog("log_2")]
        self.log, self.next = self.logs
        self.grown = False
        self.lanes = NumberedLanes()
        self.reader = LogChain(Reader(self.log), self.find_next)

    async def find_next(self, count):
        return Reader(self.logs[count]) if self.grown and count < len(self.logs) else None

    def put_next(self, section):
        return self.next.commit(encode((section,)), section.events)


async def test_a_log_without_a_successor_is_read_as_it_is():
    """The same ends, messages and backlog."""
    setting = Chained()
    setting.put(a_section(WORLD, [an_event()]))
    assert await setting.reader.ends() == {0: 1}
    assert len(await setting.reader.poll({0: 0}, events_max=10, wait_s_max=0)) == 1
    assert (await setting.reader.backlog({0: 0})).events == 1


async def test_the_older_log_is_drained_first_and_then_growth_is_told():
    """Whoever does not know the second log gets the first to its end, then has to start again."""
    setting = Chained()
    setting.put(a_section(WORLD, [an_event("1")]))
    setting.put_next(a_section(WORLD, [an_event("2")]))
    setting.grown = True
    assert await setting.reader.ends() == {0: 1, 1: 1}
    (first,) = await setting.reader.poll({0: 0}, events_max=10, wait_s_max=0)
    assert (first.partition, first.offset) == (0, 0)
    with pytest.raises(LogGrownError):
        await setting.reader.poll({0: 1}, events_max=10, wait_s_max=0)
    assert (await setting.reader.poll({0: 0, 1: 0}, events_max=10, wait_s_max=0))[0].partition == 0
    assert (await setting.reader.poll({0: 1, 1: 0}, events_max=10, wait_s_max=0))[0].partition == 1
    assert (await setting.reader.backlog({0: 0, 1: 0})).events == 2


async def test_a_version_in_the_newer_log_wins_over_one_of_equal_time_in_the_older():
    """Its lane is higher, and the older log is applied first, although both are there when the consumer begins."""
    setting = Chained()
    setting.put_next(a_section(WORLD, [an_event("1", amount=2)]))
    setting.put(a_section(WORLD, [an_event("1", amount=1)]))
    setting.grown = True
    drained = await setting.drain()
    assert (drained.stored, drained.superseded) == (2, 1)
    found = (await setting.figures())["1"]
    assert (found.properties, lane_of(found.position)) == (b'{"amount":2}', 1)
    assert setting.lanes.older == {"log_1": (), "log_2": ("log_1",)}


async def test_a_consumer_that_runs_starts_again_by_itself_when_the_log_grows():
    """Its next batch is the new log's."""
    setting = Chained()
    setting.put(a_section(WORLD, [an_event("1")]))
    consumer = await setting.consumer()
    assert (await consumer.drain_once()).stored == 1
    setting.put_next(a_section(WORLD, [an_event("2")]))
    setting.grown = True
    await setting.reader.ends()
    with pytest.raises(LogGrownError):
        await consumer.drain_once()
    await consumer.start()
    assert (await consumer.drain_once()).stored == 1
    assert (await setting.figures()).keys() == {"1", "2"}
