"""What a batch is answered: the events that were taken, and those that failed as they were sent.

v1 calls the taken ones created, v2 accepted. They are read once more, from the bytes that went into the log, only when
the client wants them back.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ingest.canonical import canonical_record_id, decode_events
from ingest.requests import Checked, Failure
from metering.event_id import event_id
from metering.http.problem import Fault
from metering.timestamps import format_instant, parse_event_timestamps
from metering.world import World

_encoder = msgspec.json.Encoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def full_answer(world: World, checked: Checked, taken_as: str) -> bytes:
    """Give `{"events_created": [...], "events_failed": [...]}`; `taken_as` is the first name."""
    taken = [] if checked.body is None else events_out(world, checked.body)
    return _encoder.encode({taken_as: taken, "events_failed": [_as_sent(one) for one in checked.failures]})


def minimal_answer(checked: Checked, taken_as: str) -> bytes:
    """Give `{"events_created_count": 4999, "events_failed": [{"index", "error"}]}`."""
    failed = [{"index": failure.index, "error": _error(failure.fault)} for failure in checked.failures]
    return _encoder.encode({f"{taken_as}_count": checked.events, "events_failed": failed})


def events_out(world: World, body: bytes) -> Sequence[dict[str, Any]]:
    """Give good events in the form in which they come out: instants in UTC, numbers plain."""
    events = decode_events(body)
    instants = parse_event_timestamps([event.timestamp for event in events])
    created = []
    for event, instant in zip(events, instants.tolist(), strict=True):
        record_id, _ = canonical_record_id(event.record["id"])
        created.append(
            {
                "id": event_id(world, event.event_type, record_id),
                "event_type": event.event_type,
                "timestamp": format_instant(instant),
                "customer_id": event.customer_id,
                "record_id": record_id,
                "record": event.record,
            }
        )
    return created


def _as_sent(failure: Failure) -> dict[str, Any]:
    """Give the event as it was sent, its values byte for byte; what is no object comes back as `event`."""
    try:
        fields: dict[str, Any] = dict(_fields.decode(failure.sent))
    except msgspec.MsgspecError:
        fields = {"event": msgspec.Raw(failure.sent)}
    return fields | {"index": failure.index, "error": _error(failure.fault)}


def _error(fault: Fault) -> dict[str, Any]:
    return {"code": fault.code, "path": list(fault.path), "message": fault.message}
