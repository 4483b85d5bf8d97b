"""What an erasure takes out of bytes, and what it leaves."""

import json

import msgspec
import pytest

from ingest.canonical import content_hash, encode_record, raw_number
from ingest.consumer.batch import decode
from ingest.erasure.redaction import UNREADABLE, Redaction
from ingest.log.protocol import Message
from ingest.wire import Kind, Section, encode
from ingest.wire import decode as sections_of
from metering.position import Cutoff, last_of_message
from metering.world import Mode, World

OURS, OTHER = World("acc_1", Mode.PROD), World("acc_1", Mode.TEST)
SAID = (
    b'[{"customer_id":"ada","timestamp":"2024-01-01","event_type":"call","record":'
    b'{"id":1,"name":"Ada L","plan":"gold","amount":1.50,"ok":true,"tags":["x",1],"numbers":[1,2]}},'
    b'{"customer_id":"bob","timestamp":"2024-01-01","event_type":"call","record":{"id":2,"name":"Bob","amount":1.50}}]'
)


def a_redaction(*, offset=9, **kept):
    return Redaction(
        OURS, frozenset({"ada", "cus_1"}), kept or {"call": ["plan"]}, Cutoff({0: last_of_message(0, offset)})
    )


def versions(payload):
    batch = decode([Message(0, 5, 2, 1, payload)], {0: 0})
    return [row for part in batch.parts for row in part.rows()], batch.dead


def test_text_goes_and_everything_a_figure_is_made_of_stays():
    """Numbers with their digits, truths, kept properties, the neighbours byte for byte; positions and hashes too."""
    payload = encode([Section(OURS, Kind.EVENTS, 7, 2, SAID)])
    left = a_redaction().payload(0, 5, payload)
    assert b"Ada L" not in left
    assert SAID[SAID.index(b'{"customer_id":"bob"') : -1] in left
    before, after = versions(payload)[0], versions(left)[0]
    assert json.loads(after[0].properties) == {
        "name": None,
        "plan": "gold",
        "amount": 1.5,
        "ok": True,
        "tags": None,
        "numbers": [1, 2],
    }
    for one, other in zip(before, after, strict=True):
        assert (one.key, one.position, one.content_hash, one.timestamp_us) == (
            other.key,
            other.position,
            other.content_hash,
            other.timestamp_us,
        )
    assert a_redaction().properties("call", before[0].properties) == after[0].properties


def test_it_may_be_done_again_and_by_another_erasure():
    """The hash stays that of what was said first."""
    payload = encode([Section(OURS, Kind.EVENTS, 7, 2, SAID)])
    once = a_redaction().payload(0, 5, payload)
    assert a_redaction().payload(0, 5, once) == once
    twice = a_redaction(other=["x"]).payload(0, 5, once)
    assert b"gold" not in twice
    assert versions(twice)[0][0].content_hash == versions(payload)[0][0].content_hash


@pytest.mark.parametrize(
    ("world", "offset", "body"),
    [
        (OTHER, 5, SAID),
        (OURS, 10, SAID),
        (OURS, 5, SAID.replace(b'"ada"', b'"adam"')),
        (OURS, 5, b"[nonsense]"),
    ],
)
def test_what_is_not_the_customers_stays_byte_for_byte(world, offset, body):
    """Of another world, accepted later, of another customer, or of nobody known."""
    payload = encode([Section(world, Kind.EVENTS, 7, 2, body)])
    assert a_redaction().payload(0, offset, payload) == payload


def test_what_cannot_be_read_goes_whole_when_it_names_the_customer():
    """It stays a dead letter at its place."""
    cut = encode(
        [Section(OURS, Kind.EVENTS, 7, 2, b'[{"customer_id":"ada","secret":'), Section(OURS, Kind.EVENTS, 7, 2, SAID)]
    )
    left = a_redaction().payload(0, 5, cut)
    assert b"secret" not in left
    assert [letter.position & 0x1FFF for letter in versions(left)[1]] == [0]
    assert [row.position & 0x1FFF for row in versions(left)[0]] == [2, 3]
    assert a_redaction().payload(0, 5, b'\x01garbage "ada"') == UNREADABLE
    assert a_redaction().payload(0, 5, b'\x01garbage "bob"') == b'\x01garbage "bob"'


def test_a_dead_letter_keeps_its_shape():
    """One faulty event, one section, one message."""
    letter = b'{"id":[],"event":{"customer_id":"ada","timestamp":"never","event_type":"call","record":{"name":"Ada"}}}'
    left = json.loads(a_redaction().faulty(letter, known=True))
    assert left["event"]["record"] == {"id": None, "name": None}
    assert a_redaction().faulty(b'nonsense "cus_1"', known=True) == b"[]"
    assert a_redaction().faulty(b'nonsense "cus_1"', known=False) == UNREADABLE
    assert a_redaction().faulty(b'nonsense "cus_2"', known=True) == b'nonsense "cus_2"'


def test_a_client_cannot_say_what_an_event_said_before():
    """Only what we wrote ourselves is believed."""
    body = (
        b'[{"customer_id":"a","timestamp":"2024-01-01","event_type":"t","record":{"id":"1"},"content_hash":"%s"}]'
        % (b"00" * 16)
    )
    (row,) = versions(encode([Section(OURS, Kind.EVENTS, 7, 1, body)]))[0]
    assert row.content_hash == content_hash(b"{}", is_number=False)
    (row,) = versions(encode([Section(OURS, Kind.REDACTED, 7, 1, body)]))[0]
    assert row.content_hash == bytes(16)


def test_canonical_records_are_what_they_were():
    """Redacting nothing changes no byte of a stored record."""
    record = msgspec.json.Decoder(dict, float_hook=raw_number).decode(b'{"a":1234567890123456.5,"b":[1.25],"c":null}')
    stored = encode_record(record)
    assert a_redaction().properties("call", stored) == stored
    assert list(sections_of(encode([]))) == []
