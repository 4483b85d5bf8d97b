"""What a spool holds outlives the client that put it there."""

import json
import os

import pytest

from ingest.client import Client, Event, NotDeliveredError, SpoolError
from ingest.client import spool as spool_module
from ingest.client.spool import Spool
from tests.ingest.client.scripted import WAIT_S_MAX, Scripted
from tests.ingest.client.test_client import KEY, NOWHERE, abandon, send


def segments(folder):
    return sorted(folder.glob("*.events"))


def test_the_next_client_sends_what_the_last_could_not(tmp_path):
    """In their order, byte for byte."""
    first = Client(NOWHERE, KEY, spool_dir=tmp_path)
    send(first, 1, 2)
    with pytest.raises(NotDeliveredError) as caught:
        first.close(0)
    second = Client(NOWHERE, KEY, spool_dir=tmp_path)
    send(second, 3)
    assert abandon(second) == [1, 2, 3]
    with Scripted() as server:
        Client(server.url, KEY, spool_dir=tmp_path).close(WAIT_S_MAX)
        sent = b"".join(server.bodies)
        assert server.ids() == [[1, 2, 3]]
        assert all(event in sent for event in caught.value.events)
        Client(server.url, KEY, spool_dir=tmp_path).close(WAIT_S_MAX)
        assert len(server.bodies) == 1
    assert Spool(tmp_path).waiting == []


def test_segments_that_are_acknowledged_go(tmp_path, monkeypatch):
    """The folder does not grow with what was sent, and the cursor finds its place among several segments."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES_MAX", 100)
    spool = Spool(tmp_path)
    events = [b"%020d" % number for number in range(50)]
    for event in events:
        spool.sync(spool.append([event]))
    assert len(segments(tmp_path)) == 13
    spool.acknowledge(events[:23])
    assert len(segments(tmp_path)) == 8
    spool.close()
    again = Spool(tmp_path)
    assert again.waiting == events[23:]
    again.acknowledge(events[23:])
    assert len(segments(tmp_path)) == 1
    again.close()
    assert Spool(tmp_path).waiting == []


@pytest.mark.parametrize("left", [1, 7, 8, 20])
def test_an_event_that_is_not_whole_was_never_promised(tmp_path, left):
    """The events before it are there; what was cut lies aside, and new ones are written and read."""
    spool = Spool(tmp_path)
    spool.append([b"a" * 20, b"b" * 20])
    spool.close()
    (segment,) = segments(tmp_path)
    os.truncate(segment, 28 + left)
    again = Spool(tmp_path)
    assert again.waiting == [b"a" * 20]
    assert len(segment.with_suffix(".cut").read_bytes()) == left
    again.append([b"c" * 20])
    again.close()
    assert Spool(tmp_path).waiting == [b"a" * 20, b"c" * 20]


@pytest.mark.parametrize("body", [b"", b"x" * 20, b"short"])
def test_without_a_cursor_all_is_sent_again(tmp_path, body):
    """Harmless, where skipping would not be."""
    spool = Spool(tmp_path)
    spool.append([b"a", b"b"])
    spool.acknowledge([b"a"])
    spool.close()
    (tmp_path / "cursor").write_bytes(body)
    assert Spool(tmp_path).waiting == [b"a", b"b"]


def test_a_spool_has_one_client(tmp_path):
    """A second is told what to do."""
    first = Spool(tmp_path)
    with pytest.raises(SpoolError, match="held by another client: give each its own spool_dir"):
        Client(NOWHERE, KEY, spool_dir=tmp_path)
    first.close()
    Client(NOWHERE, KEY, spool_dir=tmp_path).close()


def test_a_full_disk_is_told_and_costs_no_event(tmp_path, monkeypatch):
    """Half of a frame that was written is taken back; what is sent later is read."""
    spool = Spool(tmp_path)
    spool.append([b"a"])
    write = os.write

    def half(file, body):
        if len(body) < 100:
            raise OSError(28, "No space left on device")
        return write(file, body[:60])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(SpoolError, match=r"takes no more .No space left on device.: make room"):
        spool.append([b"x" * 100])
    monkeypatch.setattr(os, "write", write)
    spool.append([b"b"])
    spool.close()
    assert Spool(tmp_path).waiting == [b"a", b"b"]


def test_after_a_failed_sync_it_takes_nothing_more(tmp_path, monkeypatch):
    """A second sync would say yes to what the first lost."""

    def fail(_file):
        raise OSError(5, "Input/output error")

    client = Client(NOWHERE, KEY, spool_dir=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(SpoolError, match="Input/output error"):
            send(client, 1)
    with pytest.raises(SpoolError, match="mend the disk, then open a new client"):
        send(client, 2)
    assert abandon(client) == [1]


def test_what_the_server_rejects_is_written_down(tmp_path):
    """With its reason, before the spool forgets it."""
    error = {"code": "nested", "path": ["record", "a"], "message": "record.a is an object"}
    answer = {"events_created_count": 1, "events_failed": [{"index": 1, "error": error}]}
    with Scripted((201, {}, json.dumps(answer).encode())) as server:
        with Client(server.url, KEY, spool_dir=tmp_path) as client:
            client.send_many([Event("call", "acme", {"id": n}) for n in (1, 2)])
        assert [one.code for one in client.rejections] == ["nested"]
    (line,) = (tmp_path / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["error"] == error
    assert json.loads(line)["event"]["record"] == {"id": 2}
    assert Spool(tmp_path).waiting == []
