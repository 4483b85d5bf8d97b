"""Turn an event into its bytes, once: what is sent, and sent again, is never encoded anew.

A quantity is an `int` or a `Decimal`. A `float` is refused: what it holds is rarely the number that was meant, and
`Decimal("0.1")` or `Decimal(repr(x))` says which one is. What is refused here is what could make a whole batch
unreadable; all other rules are the server's, which tells of each event that breaks one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ingest.client.errors import EventError

EVENT_BYTES_MAX = 64 * 1024

Scalar = str | int | Decimal | bool | None
Value = Scalar | Sequence[Scalar]
Record = Mapping[str, Value]

_PLAIN = frozenset({str, bool, type(None)})
_INTEGER_MAX = 2**63

_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Event:
    """One event to send. `record` holds its `id`; `timestamp` has a time zone, None means the moment of sending."""

    event_type: str
    customer_id: str
    record: Record
    timestamp: datetime | None = None

    def encoded(self) -> bytes:
        """Give its JSON, with the present moment where it has no timestamp.

        Raises:
            EventError: it cannot be sent as it is.
        """
        sent = {
            "customer_id": _text("customer_id", self.customer_id),
            "event_type": _text("event_type", self.event_type),
            "timestamp": _instant(self.timestamp),
            "record": _record(self.record),
        }
        try:
            body = _encoder.encode(sent)
        except UnicodeEncodeError as error:
            raise EventError(f"the event holds text that is no Unicode ({error.reason}): leave it out") from None
        if len(body) > EVENT_BYTES_MAX:
            raise EventError(f"the event has {len(body)} bytes; {EVENT_BYTES_MAX} is the most: send less in its record")
        return body


def _record(record: Any) -> dict[str, Any]:
    if not isinstance(record, Mapping) or record.get("id") is None:
        raise EventError('record must be a mapping with an "id" that tells this event from all others of its type')
    values: dict[str, Any] = {}
    for name, value in record.items():
        if type(name) is not str or not name:
            raise EventError(f"a property's name is {name!r}: send text of 1 to 255 characters")
        values[name] = value if type(value) in _PLAIN else _value(name, value)
    return values


def _text(field: str, value: object) -> str:
    if isinstance(value, str) and value:
        return str(value)
    raise EventError(f"{field} is {value!r}: send text of 1 to 255 characters")


def _instant(value: Any) -> str:
    if value is None:
        return _told(datetime.now(UTC))
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise EventError(f"timestamp is {value!r}: send a datetime with a time zone, such as datetime.now(UTC)")
    return _told(value.astimezone(UTC))


def _told(instant: datetime) -> str:
    return instant.isoformat()[:-6] + "Z"  # In the place of +00:00.


def _value(name: str, value: object) -> Any:
    if isinstance(value, list | tuple):
        return [_scalar(name, item) for item in value]
    return _scalar(name, value)


def _scalar(name: str, value: object) -> Scalar:
    if type(value) in _PLAIN:
        return value  # type: ignore[return-value]  # Its type is one of theirs.
    if isinstance(value, Decimal):
        if value.is_finite():
            return value
        raise EventError(f"record.{name} is {value}: send a number, or leave it out")
    if isinstance(value, int):
        # The encoder's own integers end at 64 bits.
        return int(value) if -_INTEGER_MAX <= value < _INTEGER_MAX else Decimal(int(value))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        raise EventError(f'record.{name} is the float {value!r}: send Decimal("{value!r}"), the number that is meant')
    raise EventError(
        f"record.{name} is of type {type(value).__name__}: send str, int, Decimal, bool, None or a list of these"
    )
