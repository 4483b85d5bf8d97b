import subprocess
import sys

import pytest

from ingest.errors import LogCorruptError
from ingest.log.local.end import EndReader, EndWriter
from ingest.log.local.files import DiskFiles
from ingest.log.waiting import End

PUBLISH = """
import sys
from pathlib import Path
from ingest.log.local.end import EndWriter
from ingest.log.waiting import End
folder = Path(sys.argv[1])
writer = EndWriter(folder)
number = 0
while number % 1000 or not (folder / "enough").exists():
    number += 1
    writer.publish(End(number, 7 * number))
print(number)
"""


def test_what_was_published_last_is_read(tmp_path):
    """By a reader that is open, and by the next writer."""
    writer = EndWriter(tmp_path)
    reader = EndReader.open(tmp_path)
    assert writer.found is None
    assert reader.read() is None
    for number in range(5):
        writer.publish(End(number, 2 * number))
        assert reader.read().end == End(number, 2 * number)
    writer.close()
    assert EndWriter(tmp_path).found == End(4, 8)


def test_a_slot_that_is_half_written_is_not_read(tmp_path):
    """Whatever bytes of it are there, the reader sees the end before; and the next writer goes on."""
    writer = EndWriter(tmp_path)
    writer.publish(End(1, 10))
    before = (tmp_path / "end").read_bytes()
    writer.publish(End(2, 20))
    after = (tmp_path / "end").read_bytes()
    reader = EndReader.open(tmp_path)
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    for at in changed[:-1]:
        (tmp_path / "end").write_bytes(after[: at + 1] + before[at + 1 :])
        assert reader.read().end == End(1, 10)
    reopened = EndWriter(tmp_path)
    assert reopened.found == End(1, 10)
    reopened.publish(End(3, 30))
    assert reader.read().end == End(3, 30)


def test_a_reader_in_another_process_never_reads_a_torn_end(tmp_path):
    """The two numbers always belong together, and never go back; the writer goes on until enough were seen."""
    EndWriter(tmp_path).publish(End(0, 0))
    reader = EndReader.open(tmp_path)
    writing = subprocess.Popen([sys.executable, "-c", PUBLISH, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    changes, latest = 0, 0
    while changes < 200 and writing.poll() is None:
        end = reader.read().end
        assert end.events == 7 * end.next_offset
        assert end.next_offset >= latest
        changes += end.next_offset != latest
        latest = end.next_offset
    (tmp_path / "enough").touch()
    last = int(writing.communicate()[0])
    assert writing.returncode == 0
    assert changes == 200
    assert reader.read().end == End(last, 7 * last)


def test_two_damaged_slots_are_no_empty_log(tmp_path):
    """A reader stops; a writer finds the end by its scan."""
    EndWriter(tmp_path).publish(End(1, 10))
    (tmp_path / "end").write_bytes(b"\x55" * 4096)
    with pytest.raises(LogCorruptError, match="damaged"):
        EndReader.open(tmp_path).read()
    assert EndWriter(tmp_path).found is None


def test_an_end_of_an_earlier_boot_is_known_as_such(tmp_path, monkeypatch):
    """The page is never synced, so after a power cut it may say less than was durable."""
    EndWriter(tmp_path).publish(End(1, 10))
    assert EndReader.open(tmp_path).read().this_boot
    monkeypatch.setattr(DiskFiles, "boot", lambda _: 42)
    assert not EndReader.open(tmp_path).read().this_boot
