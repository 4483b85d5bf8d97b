import asyncio
import sys

import pytest

from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.log.frames import HEAD_BYTES, read_head
from ingest.log.local.appender import Unframed
from ingest.log.local.files import DiskFiles
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.segments import Segments
from ingest.log.local.writer import LocalLogWriter
from ingest.log.waiting import End

WRITE = """
import asyncio, sys
from pathlib import Path
from ingest.log.local.writer import LocalLogWriter

async def main():
    writer = await LocalLogWriter.open(Path(sys.argv[1]), segment_bytes=200_000, commit_interval_s_min=0)
    for first in range(0, 20_000, 100):
        await asyncio.gather(*(writer.put(b"%06d" % number + b"x" * 94, 1) for number in range(first, first + 100)))
    await writer.close()

asyncio.run(main())
"""


async def test_another_process_reads_along_while_segments_roll(tmp_path):
    """Everything, once, in order; the end is never behind what was read."""
    writing = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITE, str(tmp_path))
    reader = await LocalLogReader.open(tmp_path)
    numbers, at = [], 0
    async with asyncio.timeout(60):
        while len(numbers) < 20_000:
            for message in await reader.poll({0: at}, events_max=500, wait_s_max=1):
                numbers += [int(message.payload[start : start + 6]) for start in range(0, len(message.payload), 100)]
                assert message.events == len(message.payload) // 100
                at = message.offset + 1
            assert reader.end.next_offset >= at
            assert (await reader.backlog({0: at})).events <= 20_000 - len(numbers)
    assert await writing.wait() == 0
    assert numbers == list(range(20_000))
    assert len(list(tmp_path.glob("*.segment"))) > 5
    await reader.close()


async def test_a_durable_frame_that_is_damaged_stops_the_reader(bench):
    """It names offset and file; frames before it are still given."""
    sizes = bench.fill([b"one"], [b"two"], [b"three"])
    for at in range(sizes[0], sizes[1]):
        original = bench.segment().read_bytes()
        damaged = bytearray(original)
        damaged[at] ^= 0x10
        bench.segment().write_bytes(damaged)
        reader = await LocalLogReader.open(bench.folder)
        assert len(await reader.poll({0: 0}, events_max=100, wait_s_max=0)) == 1
        with pytest.raises(LogCorruptError, match=r"offset 1 .*segment is damaged"):
            await reader.poll({0: 1}, events_max=100, wait_s_max=0)
        await reader.close()
        bench.segment().write_bytes(original)


async def test_a_segment_that_went_missing_stops_the_reader(bench):
    """It is not stepped over."""
    bench.fill(*([b"%d" % number] for number in range(5)), segment_bytes=1)
    bench.segment(2).unlink()
    reader = await LocalLogReader.open(bench.folder)
    assert len(await reader.poll({0: 0}, events_max=100, wait_s_max=0)) == 2
    with pytest.raises(LogCorruptError, match="offset 2"):
        await reader.poll({0: 2}, events_max=100, wait_s_max=0)
    with pytest.raises(LogCorruptError, match="offset 2"):
        await reader.backlog({0: 2})
    assert len(await reader.poll({0: 3}, events_max=100, wait_s_max=0)) == 2
    await reader.close()


async def test_a_reader_outlives_the_writer_and_its_torn_tail(bench):
    """It gives the same before, without and after a writer, and never what was cut."""
    bench.fill([b"one"], [b"two"])
    with bench.segment().open("ab") as file:
        file.write(b"\xffML\x01 half a frame that was never synced")
    reader = await LocalLogReader.open(bench.folder)
    assert reader.end == End(2, 4)
    assert [m.payload for m in await reader.poll({0: 0}, events_max=9, wait_s_max=0)] == [b"one", b"two"]
    appender = bench.open()
    appender.commit([Unframed(b"three", 2)])
    appender.close()
    assert [m.payload for m in await reader.poll({0: 1}, events_max=9, wait_s_max=0)] == [b"two", b"three"]
    await reader.close()


async def test_a_reader_waits_for_the_first_writer_of_this_boot(bench, monkeypatch):
    """An end that a power cut left behind may be too low, which would look like a log that lost its end."""
    bench.fill([b"one"])
    monkeypatch.setattr(DiskFiles, "boot", lambda _: 42)
    with pytest.raises(LogUnavailableError, match="since the last boot"):
        await LocalLogReader.open(bench.folder, wait_s_max=0.02)
    opening = asyncio.create_task(LocalLogReader.open(bench.folder, wait_s_max=5))
    await asyncio.sleep(0.02)
    bench.fill([b"two"])
    reader = await opening
    assert reader.end == End(2, 4)
    await reader.close()


async def test_a_poll_is_bounded_in_bytes(bench):
    """However few events large messages hold; one is always given."""
    bench.fill([b"x" * 1000 for _ in range(10)])
    reader = await LocalLogReader.open(bench.folder, poll_bytes_max=3500)
    assert len(await reader.poll({0: 0}, events_max=1000, wait_s_max=0)) == 3
    await reader.close()
    reader = await LocalLogReader.open(bench.folder, poll_bytes_max=10)
    assert len(await reader.poll({0: 4}, events_max=1000, wait_s_max=0)) == 1
    await reader.close()


def test_going_on_where_reading_stopped_walks_over_nothing(bench, monkeypatch):
    """Each poll of a log that is read through looks at its own frames alone; so does a step back to a known place."""
    bench.fill([b"x" * 10_000 for _ in range(1000)])
    looked_at = []
    real = read_head
    monkeypatch.setattr(
        "ingest.log.local.segments.read_head", lambda source, at: looked_at.append(at) or real(source, at)
    )
    segments = Segments(bench.folder)
    for offset in range(0, 1000, 50):
        segments.read(offset, offset + 50, 1 << 40, 1 << 40)
    assert len(looked_at) == 20
    looked_at.clear()
    assert segments.head(777).offset == 777
    assert len(looked_at) < 1024 * 1024 / (10_000 + HEAD_BYTES) + 3


async def test_readers_keep_their_place_while_segments_are_trimmed(tmp_path):
    """What is not trimmed reads on as if nothing had happened."""
    writer = await LocalLogWriter.open(tmp_path, segment_bytes=2_000, commit_interval_s_min=0)
    reader = await LocalLogReader.open(tmp_path)
    at = 0
    for number in range(100):
        await writer.put(b"%d" % number * 200, 1)
        for message in await reader.poll({0: at}, events_max=3, wait_s_max=0):
            assert message.payload == b"%d" % at * 200
            at = message.offset + 1
        await writer.trim(at)
    assert at == 100
    assert len(list(tmp_path.glob("*.segment"))) < 5
    with pytest.raises(LogCorruptError, match=r"offset 0 .*trimmed"):
        await reader.backlog({0: 0})
    await writer.close()
    await reader.close()
