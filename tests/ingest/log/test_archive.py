import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.errors import LogCorruptError, LogMismatchError
from ingest.log.archive.folder import archived, prepare, runs
from ingest.log.archive.keeper import Keep, LogKeeper
from ingest.log.archive.reader import ArchivedLogReader
from ingest.log.archive.segment import archive_segment, rewrite_segment
from ingest.log.local.folder import LOG_ID, first_offsets
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter

PLENTY = 1 << 40
SEGMENTS = 6


class Place:
    """A log of small segments with an archive beside it; message n says n."""

    def __init__(self, folder):
        self.log, self.archive = folder / "log", folder / "archive"

    async def fill(self, count=SEGMENTS, *, first=0):
        writer = await LocalLogWriter.open(self.log, segment_bytes=1, commit_interval_s_min=0)
        for number in range(first, first + count):
            await writer.put(b"message %d" % number, 1)
        return writer

    async def keeper(self, writer, keep=Keep.ARCHIVE):
        keeper = LogKeeper(self.log, self.archive, keep, writer, margin_s=0)
        keeper.prepare((self.log / LOG_ID).read_text().strip())
        return keeper

    async def reader(self):
        return ArchivedLogReader(await LocalLogReader.open(self.log), self.archive)

    async def payloads(self, *, events_max=PLENTY):
        reader = await self.reader()
        end, offset, found = (await reader.ends())[0], 0, []
        while offset < end:
            for message in await reader.poll({0: offset}, events_max=events_max, wait_s_max=0):
                assert message.offset == offset
                found.append(message.payload)
                offset += 1
        await reader.close()
        return found


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def said(count=SEGMENTS):
    return [b"message %d" % number for number in range(count)]


async def moved(keeper, applied):
    """Let a keeper hear how far the store is, and do what it then does."""
    await keeper.applied_hint({0: applied})
    return await keeper._move(keeper._applied, keeper._keep)


@pytest.mark.parametrize("events_max", [1, 2, PLENTY])
async def test_what_is_archived_reads_as_if_it_were_in_the_log(place, events_max):
    """Whole, in order, from any offset, in pieces of any size."""
    writer = await place.fill()
    assert await moved(await place.keeper(writer), 4) == 4
    assert first_offsets(place.log) == [4, 5]
    assert list(runs(archived(place.archive))) == [(0, 4)]
    assert await place.payloads(events_max=events_max) == said()
    reader = await place.reader()
    backlog = await reader.backlog({0: 1})
    assert backlog.events == SEGMENTS - 1
    assert backlog.oldest_at_us is not None
    await reader.close()
    await writer.close()


async def test_a_segment_goes_once_it_has_been_applied_for_a_while(place):
    """Who runs for ever moves whole segments below what was applied, and nothing above."""
    writer = await place.fill()
    keeper = await place.keeper(writer)
    running = asyncio.create_task(keeper.run())
    await keeper.applied_hint({0: 2})
    while first_offsets(place.log)[0] < 2:
        await asyncio.sleep(0.01)
    await keeper.applied_hint({0: 4})
    while first_offsets(place.log)[0] < 4:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert first_offsets(place.log) == [4, 5]
    await writer.close()


async def test_nothing_of_the_log_need_be_left(place):
    """Sealed and moved whole, it opens at its end, takes the next offset and reads from the first."""
    writer = await place.fill()
    keeper = await place.keeper(writer)
    await keeper.applied_hint({0: SEGMENTS})
    assert await keeper.settle() == SEGMENTS
    assert first_offsets(place.log) == [SEGMENTS]
    await writer.close()
    writer = await place.fill(1, first=SEGMENTS)
    assert await place.payloads() == said(SEGMENTS + 1)
    await writer.close()


async def test_what_is_to_be_kept_in_the_log_stays_there_until_it_has_to_be_rewritten(place):
    """Then it goes into the archive, for a log's own segments are never changed."""
    writer = await place.fill()
    keeper = await place.keeper(writer, Keep.ALL)
    await keeper.applied_hint({0: SEGMENTS})
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(60):
        await running
    assert first_offsets(place.log) == list(range(SEGMENTS))
    assert await keeper.settle() == SEGMENTS
    assert await place.payloads() == said()
    await writer.close()


async def test_what_was_dropped_is_told_with_where_it_might_be(place):
    """Nobody reads around a gap."""
    writer = await place.fill()
    assert await moved(await place.keeper(writer, Keep.NONE), 4) == 4
    assert archived(place.archive) == []
    reader = await place.reader()
    with pytest.raises(LogCorruptError, match=r"offset 0 .*begins at 4; the archive .* does not have it"):
        await reader.poll({0: 0}, events_max=1, wait_s_max=0)
    with pytest.raises(LogCorruptError, match="does not have it"):
        await reader.backlog({0: 0})
    await reader.close()
    await writer.close()


async def test_a_damaged_archive_is_told_and_never_read_around(place):
    """Any changed byte behind the first few, which mean little to the decompressor."""
    writer = await place.fill()
    await moved(await place.keeper(writer), 2)
    path = archived(place.archive)[1].path
    whole = path.read_bytes()
    for at in range(8, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        reader = await place.reader()
        with pytest.raises(LogCorruptError, match=re.escape(str(path))):
            await reader.poll({0: 1}, events_max=1, wait_s_max=0)
        await reader.close()
    path.write_bytes(whole[:-1])
    with pytest.raises(LogCorruptError, match="damaged"):
        await place.payloads()
    await writer.close()


async def test_a_segment_that_a_crash_left_in_both_places_is_there_once(place):
    """Archived and not yet unlinked, or half written: the next pass goes on from what is there."""
    writer = await place.fill()
    await place.keeper(writer)
    archive_segment(place.log, 0, 1, place.archive)
    (place.archive / f"{1:020d}-{2:020d}.segment.zst.partial").write_bytes(b"half")
    keeper = await place.keeper(writer)
    assert await moved(keeper, 3) == 3
    assert max(path.name for path in place.archive.iterdir()) == LOG_ID
    assert await place.payloads() == said()
    await writer.close()


async def test_an_archive_of_another_log_is_refused(place):
    """By who writes it and by who reads it."""
    writer = await place.fill()
    prepare(place.archive, "log_other")
    with pytest.raises(LogMismatchError, match="belongs to log log_other"):
        await place.keeper(writer)
    with pytest.raises(LogMismatchError, match="belongs to log log_other"):
        await place.reader()
    await writer.close()


async def test_a_rewritten_segment_keeps_its_offsets(place):
    """What is redacted is gone from the bytes; what is not stays as it was, and so does the file when nothing is."""
    writer = await place.fill()

    def redact(_, payload):
        return b"" if payload == b"message 2" else payload

    await moved(await place.keeper(writer), 5)
    third, fourth = archived(place.archive)[2:4]
    assert rewrite_segment(third, redact)
    expected = said()
    expected[2] = b""
    assert await place.payloads() == expected
    before = fourth.path.stat()
    assert not rewrite_segment(fourth, redact)
    assert fourth.path.stat() == before
    assert not rewrite_segment(third, redact)
    assert rewrite_segment(fourth, lambda _, payload: payload.upper())
    expected[3] = b"MESSAGE 3"
    assert await place.payloads(events_max=1) == expected
    await writer.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
import ingest.log.archive.segment as segment, ingest.log.local.appender as appender
from ingest.log.archive.keeper import Keep, LogKeeper
from ingest.log.local.folder import LOG_ID
from ingest.log.local.writer import LocalLogWriter

folder, left = Path(sys.argv[1]), int(sys.argv[2])

def one_step_less(event, _):
    global left
    if event in ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    writer = await LocalLogWriter.open(folder / "log", segment_bytes=1)
    keeper = LogKeeper(folder / "log", folder / "archive", Keep.ARCHIVE, writer, margin_s=0)
    await keeper.applied_hint({0: writer.end.next_offset})
    sys.addaudithook(one_step_less)
    keeper.prepare((folder / "log" / LOG_ID).read_text().strip())
    await keeper.settle()

asyncio.run(main())
print("settled", left)
"""


@pytest.mark.slow
async def test_killed_between_any_two_steps_it_loses_and_doubles_nothing(place):
    """A kill at each system call that changes a name: every message reads once, and the next start finishes."""
    steps, count, settled = 0, 2, False
    await (await place.fill(count)).close()
    while not settled:
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", KILLED, str(place.log.parent), str(steps)],
            capture_output=True,
            check=False,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        settled = ended.returncode == 0
        assert settled or ended.returncode == -signal.SIGKILL, ended.stderr
        writer = await place.fill(1, first=count)
        count += 1
        assert await place.payloads() == said(count)
        await writer.close()
        steps += 1
    assert steps > 10
