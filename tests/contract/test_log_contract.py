"""What every log promises, whichever it is: one suite over the local, the remote and the memory log, and Kafka."""

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import OffsetSpec

from ingest.errors import LogCorruptError, LogMismatchError, LogOverloadedError, LogUnavailableError
from ingest.log.client import RemoteLogWriter
from ingest.log.kafka.address import KafkaAddress
from ingest.log.kafka.reader import KafkaLogReader
from ingest.log.kafka.topic import TopicAdmin
from ingest.log.kafka.writer import KafkaLogWriter
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.memory import MemoryLog, MemoryLogReader, MemoryLogWriter
from ingest.log.protocol import Backlog
from ingest.log.server import LogServer
from ingest.wire import Kind, Section, decode
from metering.position import MESSAGE_EVENTS_MAX
from metering.world import Mode, World

PLENTY = 1_000_000


def a_section(body=b"[{}]", *, events=1, mode=Mode.TEST):
    return Section(World("acc_1", mode), Kind.EVENTS, 1_700_000_000_000_000, events, body)


class LocalHarness:
    """A log on disk, appended to in this process."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="log-"))
        self.clock_us = 1_000

    async def writer(self, **limits):
        return await LocalLogWriter.open(
            self.folder / "log", segment_bytes=20_000, now_us=lambda: self.clock_us, **limits
        )

    async def reader(self):
        return await LocalLogReader.open(self.folder / "log", wait_s_max=1.0)

    async def trim(self, writer, before_offset):
        return await writer.trim(before_offset)

    async def clean(self):
        shutil.rmtree(self.folder)


class RemoteHarness(LocalHarness):
    """The same, through the log process's socket."""

    async def writer(self, **limits):
        local = await super().writer()
        server = await LogServer.open(local, self.folder / "s")
        return _RemoteWriter(local, server, await RemoteLogWriter.open(self.folder / "s", **limits))


class _RemoteWriter:
    """A remote writer that takes its server along when it closes."""

    def __init__(self, local, server, remote):
        self.append, self.trim = remote.append, remote.trim
        self._parts = (remote, server, local)

    async def close(self):
        for part in self._parts:
            await part.close()


class MemoryHarness:
    """A log in memory."""

    def __init__(self):
        self.clock_us = 1_000
        self.log = MemoryLog(now_us=lambda: self.clock_us)

    async def writer(self, **limits):
        return MemoryLogWriter(self.log, **limits)

    async def reader(self):
        return MemoryLogReader(self.log)

    async def trim(self, _, before_offset):
        return self.log.trim(before_offset)

    async def clean(self):
        pass


class KafkaHarness:
    """A topic of one partition on a real broker."""

    def __init__(self, cluster):
        self.address = KafkaAddress(cluster.addresses, f"contract-{uuid4().hex}", 1)

    async def writer(self, **limits):
        return await KafkaLogWriter.open(self.address, **limits)

    async def reader(self):
        return await KafkaLogReader.open(self.address)

    async def trim(self, _, before_offset):
        admin = TopicAdmin(self.address)
        topic = await admin.open()
        (end,) = (await admin.offsets(topic, OffsetSpec.latest())).values()
        return (await admin.trim(topic, {0: min(before_offset, end - 1)}))[0]

    async def clean(self):
        pass


@pytest.fixture(params=[LocalHarness, RemoteHarness, MemoryHarness, pytest.param(KafkaHarness, marks=pytest.mark.slow)])
async def harness(request):
    made = KafkaHarness(request.getfixturevalue("kafka")) if request.param is KafkaHarness else request.param()
    yield made
    await made.clean()


@pytest.fixture(params=[LocalHarness, RemoteHarness, MemoryHarness])
async def clocked_harness(request):
    """A log that stamps messages with a clock of ours."""
    made = request.param()
    yield made
    await made.clean()


@pytest.fixture
async def log(harness):
    """An open writer and reader."""
    async with AsyncExitStack() as stack:
        writer = await harness.writer()
        stack.push_async_callback(writer.close)
        reader = await harness.reader()
        stack.push_async_callback(reader.close)
        yield writer, reader


async def everything(reader):
    """All messages from the start, in two-event bites."""
    messages, at = [], 0
    while got := await reader.poll({0: at}, events_max=2, wait_s_max=0):
        messages += got
        at = got[-1].offset + 1
    return messages


def bodies(messages):
    return [section.body for message in messages for section in decode(message.payload)]


async def test_a_new_log_is_empty(log):
    """It ends at offset 0 with no events, and a poll gives nothing."""
    _, reader = log
    assert await reader.ends() == {0: 0}
    assert list(await reader.poll({0: 0}, events_max=PLENTY, wait_s_max=0)) == []
    assert await reader.backlog({0: 0}) == Backlog(0, None)


async def test_an_append_that_returned_is_readable_as_it_was_sent(log):
    """The section comes back whole, at the offset and index of its receipt."""
    writer, reader = log
    sent = a_section(b'[{"a":1},{"b":2}]', events=2, mode=Mode.PROD)
    receipt = await writer.append(sent)
    (message,) = await reader.poll({0: 0}, events_max=PLENTY, wait_s_max=0)
    assert receipt.offsets == {0: (message.offset, 0)}
    assert list(decode(message.payload)) == [sent]
    assert message.events == 2
    assert await reader.ends() == {0: 1}


async def test_appends_of_one_caller_keep_their_order(log):
    """What was appended first is read first."""
    writer, reader = log
    sent = [b"[%d]" % number for number in range(100)]
    for body in sent:
        await writer.append(a_section(body))
    assert bodies(await everything(reader)) == sent


async def test_concurrent_appends_each_come_to_rest_once_where_their_receipt_says(log):
    """A thousand at once share messages; each one's first index is where its events begin."""
    writer, reader = log
    sizes = [1 + number % 7 for number in range(1000)]
    receipts = await asyncio.gather(
        *(writer.append(a_section(b"%d" % number, events=size)) for number, size in enumerate(sizes))
    )
    messages = await everything(reader)
    assert len(messages) < 100
    found = {}
    for message in messages:
        index = 0
        for section in decode(message.payload):
            found[section.body] = (message.offset, index)
            index += section.events
        assert index <= MESSAGE_EVENTS_MAX
    assert found == {b"%d" % number: receipt.offsets[0] for number, receipt in enumerate(receipts)}
    assert (await reader.backlog({0: 0})).events == sum(sizes)


async def test_a_message_never_holds_more_events_than_a_position_can_name(log):
    """Sections that would not fit together take a message each."""
    writer, reader = log
    await asyncio.gather(*(writer.append(a_section(b"%d" % number, events=5000)) for number in range(3)))
    assert [message.events for message in await everything(reader)] == [5000, 5000, 5000]


async def test_a_section_of_more_events_than_a_message_holds_is_refused(log):
    """The caller has to split it; nothing is written."""
    writer, reader = log
    for events in (0, MESSAGE_EVENTS_MAX + 1):
        with pytest.raises(ValueError, match="split it"):
            await writer.append(a_section(events=events))
    await writer.append(a_section(events=MESSAGE_EVENTS_MAX))
    assert await reader.ends() == {0: 1}
    assert (await reader.backlog({0: 0})).events == MESSAGE_EVENTS_MAX


async def test_a_large_section_has_a_message_of_its_own(log):
    """Beyond half a megabyte nothing shares."""
    writer, reader = log
    large = b"x" * 600_000
    await asyncio.gather(*(writer.append(a_section(body)) for body in (b"1", large, b"2")))
    messages = await everything(reader)
    assert bodies(messages) == [b"1", large, b"2"]
    assert len(messages) == 3


async def test_what_was_appended_is_there_after_reopening(harness):
    """A new writer goes on behind it; no offset is used twice, and the log's id stays."""
    ids = set()
    for round_ in range(4):
        writer = await harness.writer()
        receipt = await writer.append(a_section(b"%d" % round_, events=3))
        assert receipt.offsets == {0: (round_, 0)}
        await writer.close()
        reader = await harness.reader()
        assert bodies(await everything(reader)) == [b"%d" % number for number in range(round_ + 1)]
        assert await reader.ends() == {0: round_ + 1}
        assert (await reader.backlog({0: 0})).events == 3 * (round_ + 1)
        ids.add(reader.log_id)
        await reader.close()
    assert len(ids) == 1


async def test_poll_stops_before_its_events_exceed_the_limit_but_gives_one_message(log):
    """A message larger than the limit is given alone."""
    writer, reader = log
    for events in (2, 3, 10, 1):
        await writer.append(a_section(events=events))

    async def offsets(at, events_max):
        return [message.offset for message in await reader.poll({0: at}, events_max=events_max, wait_s_max=0)]

    assert await offsets(0, 4) == [0]
    assert await offsets(0, 5) == [0, 1]
    assert await offsets(2, 5) == [2]
    assert await offsets(2, 11) == [2, 3]
    assert await offsets(3, 0) == [3]
    assert await offsets(4, 5) == []


async def test_poll_keeps_no_state(log):
    """Asked the same again, for any offset, it gives the same again."""
    writer, reader = log
    for number in range(30):
        await writer.append(a_section(b"%d" % number * 1000))
    for at in (0, 29, 13, 13, 0, 28):
        first = await reader.poll({0: at}, events_max=3, wait_s_max=0)
        assert [message.offset for message in first] == list(range(at, min(at + 3, 30)))
        assert await reader.poll({0: at}, events_max=3, wait_s_max=0) == first


async def test_poll_waits_for_the_first_message(log):
    """It returns when one comes, not when the time is over."""
    writer, reader = log
    async with asyncio.timeout(5):
        polling = asyncio.create_task(reader.poll({0: 0}, events_max=PLENTY, wait_s_max=60))
        await asyncio.sleep(0.02)
        assert not polling.done()
        await writer.append(a_section(b"late"))
        assert bodies(await polling) == [b"late"]


async def test_poll_gives_up_after_its_wait(log):
    """An empty answer means that nothing came."""
    _, reader = log
    began_at = asyncio.get_running_loop().time()
    assert list(await reader.poll({0: 0}, events_max=PLENTY, wait_s_max=0.05)) == []
    assert 0.04 < asyncio.get_running_loop().time() - began_at < 2


async def test_the_backlog_counts_what_lies_from_any_offset_on(log):
    """For each offset up to the end; of a partition that is not asked for, nothing."""
    writer, reader = log
    for events in (2, 3, 10):
        await writer.append(a_section(events=events))
    assert [(await reader.backlog({0: offset})).events for offset in (3, 0, 1, 2)] == [0, 15, 13, 10]
    assert await reader.backlog({}) == Backlog(0, None)


async def test_an_offset_beyond_the_end_belongs_to_another_log(log):
    """It is no empty answer: the store was filled from something else."""
    writer, reader = log
    await writer.append(a_section())
    with pytest.raises(LogMismatchError, match="offset 2 lies beyond the end 1"):
        await reader.backlog({0: 2})
    with pytest.raises(LogMismatchError, match="offset 2 lies beyond the end 1"):
        await reader.poll({0: 2}, events_max=1, wait_s_max=0)


async def test_the_time_of_appending_never_decreases(clocked_harness):
    """Not when the clock is set back, and not over a restart."""
    for clock_us in (5_000, 3_000, 7_000):
        clocked_harness.clock_us = clock_us
        writer = await clocked_harness.writer()
        await writer.append(a_section())
        await writer.close()
    reader = await clocked_harness.reader()
    told = [(await reader.backlog({0: offset})).oldest_at_us for offset in range(4)]
    assert told == [5_000, 5_000, 7_000, None]
    await reader.close()


async def test_too_much_waiting_is_refused_before_anything_is_written(harness):
    """What was admitted is durable; what was refused left nothing behind; later appends go in again."""
    writer = await harness.writer(waiting_bytes_max=10_000)
    outcomes = await asyncio.gather(
        *(writer.append(a_section(b"%03d" % number + b"x" * 997)) for number in range(100)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert all(isinstance(error, LogOverloadedError) for error in refused)
    assert 80 < len(refused) < 95
    await writer.append(a_section(b"again"))
    reader = await harness.reader()
    admitted = [b"%03d" % n + b"x" * 997 for n, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
    assert bodies(await everything(reader)) == [*admitted, b"again"]
    await reader.close()
    await writer.close()


async def test_a_section_above_the_waiting_limit_goes_in_alone(harness):
    """Or no one could ever send it."""
    writer = await harness.writer(waiting_bytes_max=100)
    assert (await writer.append(a_section(b"x" * 1000))).offsets == {0: (0, 0)}
    await writer.close()


async def test_close_commits_what_waits_and_then_refuses(harness):
    """No append that was admitted is dropped."""
    writer = await harness.writer()
    waiting = [asyncio.create_task(writer.append(a_section(b"%d" % number))) for number in range(10)]
    await asyncio.sleep(0)
    await writer.close()
    assert [(await append).offsets[0][0] for append in waiting] == [0] * 10
    with pytest.raises(LogUnavailableError):
        await writer.append(a_section())


async def test_a_caller_that_gave_up_harms_no_one(log):
    """Its event may be in the log; the others' receipts are right."""
    writer, reader = log
    appends = [asyncio.create_task(writer.append(a_section(b"%d" % number))) for number in range(3)]
    await asyncio.sleep(0)
    appends[1].cancel()
    assert [(await appends[number]).offsets[0] for number in (0, 2)] == [(0, 0), (0, 2)]
    assert bodies(await everything(reader)) == [b"0", b"1", b"2"]


async def test_trimmed_offsets_are_gone_and_the_rest_is_as_it_was(harness, log):
    """Asking for one names it; the end, the counts and new offsets are unchanged."""
    writer, reader = log
    for number in range(60):
        await writer.append(a_section(b"%02d" % number + b"x" * 1000, events=2))
    before = await everything(reader)
    first = await harness.trim(writer, 45)
    assert 0 < first <= 45
    with pytest.raises(LogCorruptError, match=f"offset {first - 1} .*trimmed.* {first}"):
        await reader.poll({0: first - 1}, events_max=1, wait_s_max=0)
    assert list(await reader.poll({0: first}, events_max=PLENTY, wait_s_max=0)) == before[first:]
    assert (await reader.backlog({0: first})).events == 2 * (60 - first)
    assert (await writer.append(a_section())).offsets == {0: (60, 0)}
    assert await harness.trim(writer, PLENTY) <= 60
    assert await reader.ends() == {0: 61}
