import pytest

from ingest.log.local.appender import Appender, Unframed
from ingest.log.local.files import DiskFiles
from ingest.log.local.folder import segment_path
from ingest.log.local.segments import Segments


class Bench:
    """A log on disk that a test can write, damage and read without an event loop."""

    def __init__(self, folder):
        self.folder = folder

    def open(self, *, segment_bytes=1 << 30, files=None):
        return Appender.open(self.folder, segment_bytes, lambda: 1_000, files or DiskFiles())

    def fill(self, *commits, segment_bytes=1 << 30):
        """Write groups of payloads, one commit each, and give the file sizes after each commit."""
        appender = self.open(segment_bytes=segment_bytes)
        sizes = []
        for payloads in commits:
            appender.commit([Unframed(payload, 2) for payload in payloads])
            sizes.append(appender._size)
        appender.close()
        return sizes

    def forget_end(self):
        """What a power cut may do to the page that is never synced."""
        (self.folder / "end").unlink()

    def payloads(self, first=0):
        """Open the log as a writer would, and read all of it."""
        appender = self.open()
        end = appender.end.next_offset
        appender.close()
        return [m.payload for m in Segments(self.folder).read(first, end, 1 << 40, 1 << 40)] if end > first else []

    def segment(self, first=0):
        return segment_path(self.folder, first)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "log")
