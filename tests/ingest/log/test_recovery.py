import random

import pytest

from ingest.errors import LogCorruptError, LogUnavailableError
from ingest.log.frames import HEAD_BYTES
from ingest.log.local.appender import Unframed, trim
from ingest.log.local.files import DiskFiles
from ingest.log.local.folder import segment_path
from ingest.log.waiting import End

PAGE_BYTES = 4096


def test_a_tail_torn_at_any_byte_is_cut_and_its_offset_used_once(bench):
    """Wherever the last frame breaks off, all before it stays and the next frame takes its place."""
    *_, kept, whole = bench.fill([b"one"], [b"two"], [b"three"], [b"the last frame"])
    content = bench.segment().read_bytes()
    assert len(content) == whole
    for size in range(kept, whole):
        bench.forget_end()
        bench.segment().write_bytes(content[:size])
        appender = bench.open()
        assert appender.end == End(3, 6)
        assert bench.segment().stat().st_size == kept
        assert appender.commit([Unframed(b"after", 2)]) == 3
        appender.close()
        assert bench.payloads() == [b"one", b"two", b"three", b"after"]


def test_a_first_frame_torn_at_any_byte_leaves_an_empty_log(bench):
    """There is nothing before it."""
    bench.fill([b"only"])
    content = bench.segment().read_bytes()
    for size in range(len(content)):
        bench.forget_end()
        bench.segment().write_bytes(content[:size])
        assert bench.payloads() == []


def test_a_last_frame_that_was_published_is_never_cut(bench):
    """The end that was published tells a lost durable frame from a torn one; the file is left as it is."""
    *_, kept, whole = bench.fill([b"one"], [b"two"])
    content = bench.segment().read_bytes()
    for size in range(kept, whole):
        bench.segment().write_bytes(content[:size])
        with pytest.raises(LogCorruptError, match="durable up to offset 2"):
            bench.open()
        assert bench.segment().stat().st_size == size


def test_a_bit_flipped_before_the_last_frame_stops_the_start(bench):
    """Whole frames of a later commit follow, so the damaged one was durable; nothing is cut."""
    first, second, _ = bench.fill([b"one"], [b"two"], [b"three"])
    content = bench.segment().read_bytes()
    bench.forget_end()
    for at in range(second):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        bench.segment().write_bytes(damaged)
        with pytest.raises(LogCorruptError, match=f"offset {int(at >= first)} .* damaged"):
            bench.open()
        assert bench.segment().read_bytes() == damaged


def test_a_bit_flipped_in_the_last_frame_cuts_it_only_if_nobody_was_promised_it(bench):
    """Without the published end it is like a torn write; with it, it is corruption."""
    kept, whole = bench.fill([b"one"], [b"two"])
    content = bench.segment().read_bytes()
    published = (bench.folder / "end").read_bytes()
    for at in range(kept, whole):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        bench.segment().write_bytes(damaged)
        (bench.folder / "end").write_bytes(published)
        with pytest.raises(LogCorruptError):
            bench.open()
        bench.forget_end()
        assert bench.payloads() == [b"one"]


def test_a_power_cut_may_lose_any_pages_of_the_last_commit(bench):
    """Its frames were never promised: a later whole one beside a lost earlier one is no corruption."""
    groups = [[b"%d" % number * 700 for number in range(10)], [b"x" * 3000 for _ in range(10)]]
    kept, whole = bench.fill(*groups)
    content = bench.segment().read_bytes()
    chance = random.Random(5)
    for _ in range(60):
        lost = bytearray(content)
        for page in range(kept // PAGE_BYTES + 1, whole // PAGE_BYTES + 1):
            if chance.random() < 0.3:
                lost[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = bytes(min(PAGE_BYTES, whole - page * PAGE_BYTES))
        bench.forget_end()
        bench.segment().write_bytes(lost[: chance.randint(kept, whole)])
        found = bench.payloads()
        assert found == (groups[0] + groups[1])[: len(found)]
        assert len(found) >= 10


def test_whole_frames_that_were_not_published_are_kept_and_written_again(bench):
    """After a failed sync Linux calls lost pages clean: only a new write makes the sync at start mean something."""
    bench.fill([b"one"])
    appender = bench.open()
    published = (bench.folder / "end").read_bytes()
    appender.commit([Unframed(b"two", 2)])
    appender.close()
    (bench.folder / "end").write_bytes(published)
    written = []

    class Recording(DiskFiles):
        def write(self, _, buffers, at):
            written.append((at, b"".join(buffers)))

        def sync(self, _):
            written.append("synced")

    appender = bench.open(files=Recording())
    content = bench.segment().read_bytes()
    size = HEAD_BYTES + 3
    assert written == [(size, content[size:]), "synced"]
    assert appender.end == End(2, 4)
    appender.close()


def test_an_empty_last_segment_goes_on_where_the_one_before_it_ends(bench):
    """A crash right after a roll costs nothing, and neither does one within the first write there."""
    bench.fill([b"one"], [b"two"])
    for torn in (b"", b"\xffML\x01torn"):
        segment_path(bench.folder, 2).write_bytes(torn)
        appender = bench.open()
        assert appender.end == End(2, 4)
        appender.close()
        assert bench.segment(2).read_bytes() == b""


def test_a_log_that_was_trimmed_to_its_end_goes_on_there(bench):
    """With or without the page that is never synced; offsets, events and times go on as if all frames were there."""
    appender = bench.open(segment_bytes=1)
    appender.commit([Unframed(b"one", 2)])
    appender.commit([Unframed(b"two", 2)])
    assert appender.seal() == 2
    assert trim(bench.folder, 1 << 40, appender.trimmable) == 2
    appender.close()
    for _ in range(2):
        appender = bench.open()
        assert appender.end == End(2, 4)
        assert appender.trimmable.appended_at_us == 1_000
        appender.close()
        bench.forget_end()
    bench.fill([b"three"])
    assert bench.payloads(first=2) == [b"three"]


@pytest.mark.parametrize("left", [None, b"3 4 1000 00000000", b"2 4 1000"])
def test_an_empty_log_without_word_of_its_end_stops_the_start(bench, left):
    """Its frames were lost, not trimmed."""
    appender = bench.open(segment_bytes=1)
    appender.commit([Unframed(b"one", 2)])
    appender.seal()
    trim(bench.folder, 1 << 40, appender.trimmable)
    appender.close()
    (bench.folder / "trimmed").unlink()
    if left is not None:
        (bench.folder / "trimmed").write_bytes(left)
    with pytest.raises(LogCorruptError, match="no whole frame"):
        bench.open()


def test_trimming_up_to_a_segment_with_frames_leaves_it(bench):
    """Only whole segments go."""
    appender = bench.open(segment_bytes=1)
    for payload in (b"one", b"two", b"three"):
        appender.commit([Unframed(payload, 2)])
    assert trim(bench.folder, 2, appender.trimmable) == 2
    appender.seal()
    assert trim(bench.folder, 2, appender.trimmable) == 2
    appender.close()
    assert bench.payloads(first=2) == [b"three"]


def test_a_segment_that_ends_before_the_next_begins_stops_the_start(bench):
    """The next one's name proves that more was durable."""
    bench.fill([b"one"], [b"two"])
    bench.forget_end()
    segment_path(bench.folder, 3).touch()
    with pytest.raises(LogCorruptError, match="does not reach offset 3"):
        bench.open()


def test_a_damaged_first_frame_of_an_older_segment_stops_the_start(bench):
    """Every segment is looked at, though only the last is read through."""
    bench.fill([b"one"], [b"two"], [b"three"], segment_bytes=1)
    with bench.segment(1).open("r+b") as file:
        file.seek(HEAD_BYTES)
        file.write(b"!")
    with pytest.raises(LogCorruptError, match=r"0001\.segment is damaged"):
        bench.open()


@pytest.mark.parametrize("lost", ["log_id", "00000000000000000000.segment"])
def test_a_log_that_lost_a_file_is_not_begun_anew(bench, lost):
    """Its offsets would be used twice."""
    bench.fill([b"one"])
    bench.forget_end()
    (bench.folder / lost).unlink()
    with pytest.raises(LogCorruptError, match="restore"):
        bench.open()


def test_a_creation_that_was_cut_short_is_finished(bench):
    """The id is written last, so a folder without one holds at most an empty segment."""
    bench.folder.mkdir()
    bench.segment().touch()
    (bench.folder / "log_id.partial").write_bytes(b"log_ha")
    assert bench.payloads() == []


def test_a_foreign_file_called_a_segment_stops_the_start(bench):
    """It is not skipped in silence."""
    bench.fill([b"one"])
    (bench.folder / "copy.segment").touch()
    with pytest.raises(LogCorruptError, match=r"copy\.segment is no segment"):
        bench.open()


def test_two_appenders_are_impossible(bench):
    """The second is told who is in its way; the first goes on, and once it closes, another may open."""
    appender = bench.open()
    with pytest.raises(LogUnavailableError, match="another process appends"):
        bench.open()
    appender.commit([Unframed(b"one", 1)])
    appender.close()
    assert bench.payloads() == [b"one"]


def test_offsets_that_no_position_can_name_are_refused(bench, monkeypatch):
    """The log stops at its last offset instead of wrapping."""
    monkeypatch.setattr("ingest.log.local.appender.OFFSETS_MAX", 2)
    appender = bench.open()
    appender.commit([Unframed(b"one", 1), Unframed(b"two", 1)])
    with pytest.raises(LogUnavailableError, match="used all 2 offsets"):
        appender.commit([Unframed(b"three", 1)])
    appender.close()
