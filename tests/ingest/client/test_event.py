"""An event's bytes are exact, or it is refused where it was made."""

import enum
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ingest.client import Event, EventError
from ingest.rules import event_faults
from ingest.strict_json import read_strictly


class Plan(enum.StrEnum):
    FREE = "free"


def encoded(record, **fields):
    fields = {"event_type": "call", "customer_id": "acme", "timestamp": datetime(2024, 1, 1, tzinfo=UTC), **fields}
    return Event(record=record, **fields).encoded()


def test_values_keep_all_their_digits():
    """The server finds nothing wrong with what the client encodes."""
    record = {
        "id": 1,
        "amount": Decimal("0.10"),
        "scaled": Decimal("1E+5"),
        "large": 10**19 + 1,
        "free": True,
        "none": None,
        "plan": Plan.FREE,
        "list": [1, Decimal("1.50"), "é", None],
    }
    body = encoded(record)
    assert body == (
        b'{"customer_id":"acme","event_type":"call","timestamp":"2024-01-01T00:00:00Z","record":{"id":1,"amount":0.10,'
        b'"scaled":1E+5,"large":10000000000000000001,"free":true,"none":null,"plan":"free","list":[1,1.50,"\xc3\xa9",null]}}'
    )
    assert list(event_faults(read_strictly(body))) == []


def test_a_timestamp_is_told_in_utc():
    """With its microseconds; without one it is the moment of sending."""
    zone = timezone(timedelta(hours=2))
    sent = json.loads(encoded({"id": 1}, timestamp=datetime(2024, 1, 1, 1, 30, 0, 5, tzinfo=zone)))
    assert sent["timestamp"] == "2023-12-31T23:30:00.000005Z"
    before = datetime.now(UTC)
    now = datetime.fromisoformat(json.loads(encoded({"id": 1}, timestamp=None))["timestamp"])
    assert before <= now <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("record", "fields", "message"),
    [
        ({"id": 1, "amount": 0.1}, {}, r'record.amount is the float 0.1: send Decimal\("0.1"\)'),
        ({"id": 1, "list": [0.5]}, {}, "record.list is the float"),
        ({"id": 1, "amount": Decimal("NaN")}, {}, "record.amount is NaN"),
        ({"id": 1, "at": datetime(2024, 1, 1, tzinfo=UTC)}, {}, "record.at is of type datetime"),
        ({"id": 1, "deep": {"a": 1}}, {}, "record.deep is of type dict"),
        ({"id": 1, "deep": [[1]]}, {}, "record.deep is of type list"),
        ({"id": 1, 2: 3}, {}, "a property's name is 2"),
        ({"amount": 1}, {}, 'an "id" that tells this event'),
        ({"id": 1, "text": "\ud800"}, {}, "no Unicode"),
        ({"id": 1, "text": "x" * 70_000}, {}, "65536 is the most"),
        ({"id": 1}, {"customer_id": ""}, "customer_id is ''"),
        ({"id": 1}, {"event_type": None}, "event_type is None"),
        ({"id": 1}, {"timestamp": datetime(2024, 1, 1)}, "a datetime with a time zone"),  # noqa: DTZ001
        ({"id": 1}, {"timestamp": "2024-01-01"}, "a datetime with a time zone"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_remedy(record, fields, message):
    """Before it could spoil a batch."""
    with pytest.raises(EventError, match=message):
        encoded(record, **fields)
