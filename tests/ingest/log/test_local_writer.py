import asyncio
import errno
import os
import subprocess
import sys
import threading

import pytest

from ingest.errors import LogUnavailableError
from ingest.log.local.files import DiskFiles
from ingest.log.local.reader import LocalLogReader
from ingest.log.local.writer import LocalLogWriter
from ingest.log.waiting import End
from ingest.wire import decode

FILL_UP = """
import asyncio, resource, sys
from pathlib import Path
from ingest.errors import LogUnavailableError
from ingest.log.local.writer import LocalLogWriter

async def main():
    writer = await LocalLogWriter.open(Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    acknowledged = 0
    try:
        while True:
            await writer.put(b"%06d" % acknowledged + b"x" * 994, 1)
            acknowledged += 1
    except LogUnavailableError:
        assert writer.failed.done()
    await writer.close()
    print(acknowledged)

asyncio.run(main())
"""


class FaultyFiles(DiskFiles):
    """A disk that fails when told to."""

    def __init__(self):
        self.write_fault = self.sync_fault = None
        self.syncs = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def write(self, descriptor, buffers, at):
        if self.write_fault is not None:
            super().write(descriptor, [b"".join(buffers)[:50]], at)
            raise self.write_fault
        super().write(descriptor, buffers, at)

    def sync(self, descriptor):
        self.syncs += 1
        self.go_on.wait()
        if self.sync_fault is not None:
            raise self.sync_fault
        super().sync(descriptor)


@pytest.mark.parametrize("fault", ["write_fault", "sync_fault"])
async def test_a_disk_that_fails_fails_every_waiter_and_ends_the_writer(tmp_path, fault):
    """Nothing is tried again, nothing more is admitted, nothing more is shown to readers."""
    files = FaultyFiles()
    writer = await LocalLogWriter.open(tmp_path, files=files)
    reader = await LocalLogReader.open(tmp_path)
    await writer.put(b"good", 1)
    assert not writer.failed.done()

    setattr(files, fault, OSError(errno.EIO, "Input/output error"))
    before = files.syncs
    appends = [writer.put(b"%d" % number * 300_000, 1) for number in range(100)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {LogUnavailableError}
    assert len({id(outcome) for outcome in outcomes}) == 100
    assert files.syncs - before == (1 if fault == "sync_fault" else 0)
    assert "Input/output error" in str(await writer.failed)

    setattr(files, fault, None)
    with pytest.raises(LogUnavailableError, match="Input/output error"):
        writer.put(b"too late", 1)
    assert reader.end == End(1, 1)
    await writer.close()

    writer = await LocalLogWriter.open(tmp_path)
    receipt = await writer.put(b"after", 1)
    messages = await reader.poll({0: 0}, events_max=1000, wait_s_max=0)
    assert [message.offset for message in messages] == list(range(receipt.offsets[0][0] + 1))
    assert (messages[0].payload, messages[-1].payload) == (b"good", b"after")
    await writer.close()
    await reader.close()


def test_a_full_disk_loses_nothing_that_was_answered(bench):
    """The kernel refuses in the middle of a write; what was torn is cut, what was answered is there."""
    done = subprocess.run(
        [sys.executable, "-c", FILL_UP, str(bench.folder)], capture_output=True, text=True, check=True, timeout=60
    )
    acknowledged = int(done.stdout)
    assert acknowledged > 90
    assert bench.segment().stat().st_size == 100_000
    payloads = bench.payloads()
    assert [int(payload[:6]) for payload in payloads] == list(range(acknowledged))


async def test_a_log_that_cannot_be_opened_says_so(tmp_path):
    """A failed sync at start publishes nothing."""
    files = FaultyFiles()
    files.sync_fault = OSError(errno.EIO, "Input/output error")
    with pytest.raises(LogUnavailableError, match="cannot be opened"):
        await LocalLogWriter.open(tmp_path, files=files)
    with pytest.raises(LogUnavailableError, match="nobody has opened"):
        await LocalLogReader.open(tmp_path, wait_s_max=0)
    await (await LocalLogWriter.open(tmp_path)).close()


async def test_nothing_is_answered_or_shown_before_it_is_synced(tmp_path):
    """While the disk works, neither the caller nor a reader knows of the append."""
    files = FaultyFiles()
    writer = await LocalLogWriter.open(tmp_path, files=files)
    reader = await LocalLogReader.open(tmp_path)
    files.go_on.clear()
    append = writer.put(b"one", 1)
    await asyncio.sleep(0.05)
    assert (tmp_path / "00000000000000000000.segment").stat().st_size > 0
    assert not append.done()
    assert list(await reader.poll({0: 0}, events_max=1, wait_s_max=0.02)) == []
    files.go_on.set()
    await append
    assert len(await reader.poll({0: 0}, events_max=1, wait_s_max=0)) == 1
    await writer.close()
    await reader.close()


async def test_appends_that_wait_together_share_one_sync(tmp_path):
    """Whatever arrives during a commit goes into the next."""
    files = FaultyFiles()
    writer = await LocalLogWriter.open(tmp_path, files=files)
    files.go_on.clear()
    first = writer.put(b"first", 1)
    await asyncio.sleep(0.02)
    rest = [writer.put(b"%d" % number, 1) for number in range(5000)]
    before = files.syncs
    files.go_on.set()
    await asyncio.gather(first, *rest)
    assert files.syncs - before == 1
    await writer.close()


async def test_a_write_of_more_buffers_than_the_system_takes_is_whole(tmp_path):
    """Also where the system writes less than it was given."""
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    buffers = [b"%d," % number for number in range(2500)]
    real = os.pwritev
    try:
        os.pwritev = lambda fd, rest, at: real(fd, [b"".join(rest)[:1000]], at)
        DiskFiles().write(descriptor, buffers, 3)
    finally:
        os.pwritev = real
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == bytes(3) + b"".join(buffers)


async def test_segments_roll_between_commits_and_read_as_one_log(tmp_path):
    """Each is named by its first offset, and a writer reopens at the last."""
    for _ in range(2):
        writer = await LocalLogWriter.open(tmp_path, segment_bytes=5_000, commit_interval_s_min=0)
        for number in range(20):
            await writer.put(b"%d" % number * 500, 1)
        await writer.close()
    firsts = sorted(int(path.stem) for path in tmp_path.glob("*.segment"))
    assert len(firsts) > 5
    reader = await LocalLogReader.open(tmp_path)
    messages = await reader.poll({0: 0}, events_max=1000, wait_s_max=0)
    assert [message.offset for message in messages] == list(range(40))
    assert set(firsts) <= {message.offset for message in messages}
    await reader.close()


async def test_trimming_beside_appends_leaves_a_log_that_opens(tmp_path):
    """At any moment a restart finds the end, even when everything was asked to go."""
    writer = await LocalLogWriter.open(tmp_path, segment_bytes=1, commit_interval_s_min=0)
    for number in range(20):
        await asyncio.gather(writer.put(b"%d" % number, 1), writer.trim(1 << 40))
    assert await writer.trim(1 << 40) == 19
    await writer.close()
    writer = await LocalLogWriter.open(tmp_path)
    assert writer.end == End(20, 20)
    await writer.close()


async def test_singles_are_kept_with_their_sections(tmp_path):
    """A shared message decodes into the sections that were put."""
    writer = await LocalLogWriter.open(tmp_path)
    await asyncio.gather(*(writer.put(bytes([1, 1, 0, 1]) + bytes([1, 0, 0, 0]) + bytes(12) + b"a", 1) for _ in "abc"))
    reader = await LocalLogReader.open(tmp_path)
    (message,) = await reader.poll({0: 0}, events_max=10, wait_s_max=0)
    assert [section.world.account_id for section in decode(message.payload)] == ["a", "a", "a"]
    await writer.close()
    await reader.close()
