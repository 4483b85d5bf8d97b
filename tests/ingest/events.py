"""Events that are good unless a test says otherwise."""

import json


def an_event(**changes):
    """Give an event; a field set to `...` is left out, `record` replaces the record."""
    event = {
        "customer_id": "cus_1",
        "event_type": "api_call",
        "timestamp": "2024-01-15T10:30:00.000Z",
        "record": {"id": "r1", "duration_ms": 32, "price": 1.5, "ok": True, "note": None, "tags": ["a", 1]},
    }
    event |= changes
    return {name: value for name, value in event.items() if value is not ...}


def with_properties(**properties):
    """Give an event with these properties beside its id."""
    return an_event(record={"id": "r1"} | properties)


def as_json(event) -> bytes:
    return event if isinstance(event, bytes) else json.dumps(event).encode()


def with_value(text: str) -> bytes:
    """Give an event's JSON with a property `x` written as it stands."""
    return (
        b'{"customer_id":"c","event_type":"t","timestamp":"2024-01-15 10:30:00","record":{"id":1,"x":%s}}'
        % text.encode()
    )
