"""Producers and consumers agree on where a key lives: what `deal` sends is what the consumer would look for there."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ingest.consumer.batch import decode
from ingest.log.kafka.shares import deal
from ingest.log.protocol import Message
from ingest.log.waiting import SHARED_MESSAGE_BYTES_MAX
from ingest.wire import Kind, Section, encode
from metering.store.keys import Share
from metering.world import Mode, World

WORLD = World("acc_1", Mode.PROD)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
numbers = st.sampled_from(["485", "485.0", "4.85e2", "-0", "0.0", "1e-7", "12345678901234567890", "0.1000", "-7"])
ids = numbers | texts.map(json.dumps) | texts.map(lambda text: json.dumps(text, ensure_ascii=False))
spaces = st.sampled_from(["", " ", "\n\t "])


@st.composite
def event_texts(draw):
    gap = draw(spaces)
    members = [f'"id"{gap}:{draw(ids)}', f'"n":{gap}{draw(numbers)}']
    if draw(st.booleans()):
        members.reverse()
    event = [
        '"customer_id":"c"',
        f'"event_type":{gap}{json.dumps(draw(texts))}',
        '"timestamp":"2024-01-01T00:00:00Z"',
        f'"record":{{{(gap + ",").join(members)}}}',
    ]
    return f"{gap}{{{','.join(draw(st.permutations(event)))}}}{gap}"


def a_section(texts_):
    return Section(WORLD, Kind.EVENTS, 7, len(texts_), f"[{','.join(texts_)}]".encode())


@given(st.lists(event_texts(), min_size=1, max_size=30), st.integers(1, 7))
def test_every_event_comes_out_once_where_the_consumer_expects_its_key(events, partitions):
    """In every partition the consumer finds only keys of that partition's share, in the order they were sent."""
    section = a_section(events)
    came_out = []
    for partition, share in deal(section, partitions):
        assert (share.world, share.kind, share.received_at_us) == (WORLD, Kind.EVENTS, 7)
        batch = decode([Message(partition, 0, share.events, 0, encode((share,)))], {partition: partition})
        assert batch.dead == []
        (versions,) = batch.parts
        assert len(versions) == share.events
        assert all(Share(partition, partitions).holds(hashed) for hashed in versions.key_hash.tolist())
        own = [bytes(raw) for raw in msgspec.json.decode(share.body, type=list[msgspec.Raw])]
        rest = iter([text.strip().encode() for text in events])
        assert all(body in rest for body in own), "in the order sent"
        came_out += own
    assert sorted(came_out) == sorted(text.strip().encode() for text in events)


def test_one_id_written_in_several_ways_is_one_key():
    """485, 485.0, 4.85e2 and "485" go to the same partition, of however many."""
    for partitions in range(2, 50):
        section = a_section(
            [
                f'{{"customer_id":"c","timestamp":0,"event_type":"t","record":{{"id":{written}}}}}'
                for written in ("485", "485.0", "4.85e2", '"485"', '"\\u0034\\u00385"')
            ]
        )
        assert len(deal(section, partitions)) == 1


def test_a_section_larger_than_a_message_is_cut():
    """Every part fits, and together they are what was sent, in order."""
    events = [
        f'{{"customer_id":"c","timestamp":0,"event_type":"t","record":{{"id":{n},"x":"{"y" * 1000}"}}}}'
        for n in range(2000)
    ]
    shares = deal(a_section(events), 1)
    assert len(shares) > 3
    assert all(len(share.body) < SHARED_MESSAGE_BYTES_MAX + 10 for _, share in shares)
    assert ",".join(share.body[1:-1].decode() for _, share in shares) == ",".join(events)
    assert sum(share.events for _, share in shares) == 2000


def test_a_deletion_goes_to_every_partition():
    """Each retracts its own share of the keys."""
    section = Section(WORLD, Kind.DELETION, 0, 1, b"{}")
    assert deal(section, 3) == [(0, section), (1, section), (2, section)]


def test_what_no_events_can_be_read_from_goes_to_the_first_partition_whole():
    """The consumer keeps it there as a dead letter."""
    for body, events in ((b"nonsense", 1), (b"[1]", 1), (b"[{}]", 1), (b"[]", 1), (b"\xff", 1)):
        section = Section(WORLD, Kind.EVENTS, 0, events, body)
        assert deal(section, 4) == [(0, section)]
    faulty = '{"customer_id":"c","timestamp":0,"event_type":"t","record":{"id":1e999}}'
    assert deal(a_section([faulty]), 4)[0][0] == 0
