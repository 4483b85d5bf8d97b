"""What an event must be: each rule once, told with the field, the value and the remedy.

`event_faults` judges one event as `ingest.strict_json` reads it. It is the reference: `ingest.quick_event` and
`ingest.quick_batch` only ever say that this function would find nothing.

Control characters are U+0000 to U+001F and U+007F to U+009F (Unicode's category Cc): they are refused in names and
identifiers, where they cannot be seen, and kept in the values of properties.
"""

import re
from collections.abc import Iterator

from jiter import LosslessFloat

from ingest.numbers import plain_number
from metering.decimals import DECIMALS_MAX, INTEGER_DIGITS_MAX
from metering.http.problem import Fault, PathPart
from metering.timestamps import TimestampError, parse_event_timestamp

EVENT_BYTES_MAX = 64 * 1024
BATCH_EVENTS_MAX = 5000
PROPERTIES_MAX = 25
NAME_CHARACTERS_MAX = 255
FIELDS = ("customer_id", "event_type", "timestamp", "record")

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

_SHOWN_CHARACTERS_MAX = 64
_EXAMPLES = {
    "customer_id": "the customer's id, ours or yours, as a string",
    "event_type": 'what happened, such as "api_call"',
    "timestamp": "when it happened, such as 2023-11-16T18:17:03.979Z",
    "record": 'the properties of the event, such as {"id": "D32NAA8"}',
}


def event_faults(event: object) -> Iterator[Fault]:
    """Give everything that is wrong with one event, in the order of its fields; nothing when it is good."""
    if not isinstance(event, dict):
        yield Fault("invalid_type", (), f"an event must be a JSON object, this is {shown(event)}: {_shape()}")
        return
    for field in FIELDS:
        if field not in event:
            yield Fault("required", (field,), f"{field} is missing: send {_EXAMPLES[field]}")
        elif field == "timestamp":
            yield from _timestamp_faults(event[field])
        elif field == "record":
            yield from _record_faults(event[field])
        else:
            yield from _identifier_faults((field,), event[field])


def too_large(size: int) -> Fault:
    """Give the fault of an event of `size` bytes, over the limit."""
    message = f"the event has {size} bytes; {EVENT_BYTES_MAX} is the most: send fewer or shorter properties"
    return Fault("event_too_large", (), message)


def shown(value: object) -> str:
    """Give a value for a message: as JSON would write it, shortened."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        text = "".join(_visible(character) for character in value[: _SHOWN_CHARACTERS_MAX + 1])
        return f'"{_shortened(text)}"'
    return _shortened(str(value))


def _record_faults(record: object) -> Iterator[Fault]:
    if not isinstance(record, dict):
        message = f"record must be an object, this is {shown(record)}: send {_EXAMPLES['record']}"
        yield Fault("invalid_type", ("record",), message)
        return
    if len(record) > PROPERTIES_MAX:
        message = f"record has {len(record)} properties; {PROPERTIES_MAX} is the most: drop some"
        yield Fault("too_many_properties", ("record",), message)
    if "id" not in record:
        message = "record.id is missing: send what tells this event from all others of its event_type"
        yield Fault("required", ("record", "id"), message)
    for name, value in record.items():
        yield from _text_faults(("record", name), name, "the property name")
        if name == "id":
            yield from _record_id_faults(value)
        else:
            yield from _property_faults(("record", name), value)


def _record_id_faults(value: object) -> Iterator[Fault]:
    if isinstance(value, str):
        yield from _text_faults(("record", "id"), value, "record.id")
    elif _is_number(value):
        yield from _number_faults(("record", "id"), value)
    else:
        message = f"record.id must be a string or a number, this is {shown(value)}"
        yield Fault("invalid_type", ("record", "id"), message)


def _property_faults(path: tuple[PathPart, ...], value: object) -> Iterator[Fault]:
    if isinstance(value, dict):
        message = f"{_where(path)} is an object: records have one level, send its parts as properties of their own"
        yield Fault("nested", path, message)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                message = f"{_where(path)} holds {shown(item)}: an array holds strings, numbers, booleans and nulls"
                yield Fault("nested", (*path, index), message)
            elif _is_number(item):
                yield from _number_faults((*path, index), item)
    elif _is_number(value):
        yield from _number_faults(path, value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | LosslessFloat) and not isinstance(value, bool)


def _number_faults(path: tuple[PathPart, ...], value: object) -> Iterator[Fault]:
    if plain_number(str(value)) is None:
        limits = f"a number is within 10^{INTEGER_DIGITS_MAX} of zero and has at most {DECIMALS_MAX} decimals"
        remedy = "round it, or send it as a string if it is an identifier"
        yield Fault("number_out_of_range", path, f"{_where(path)} is {shown(value)}: {limits}; {remedy}")


def _timestamp_faults(value: object) -> Iterator[Fault]:
    try:
        if isinstance(value, LosslessFloat | list | dict | bool | None):
            remedy = "send ISO 8601, such as 2023-11-16T18:17:03.979Z, or whole epoch milliseconds"
            yield Fault("invalid_timestamp", ("timestamp",), f"timestamp is {shown(value)}: {remedy}")
        else:
            parse_event_timestamp(value)
    except TimestampError as error:
        yield Fault("invalid_timestamp", ("timestamp",), f"timestamp: {error}")


def _identifier_faults(path: tuple[PathPart, ...], value: object) -> Iterator[Fault]:
    if isinstance(value, str):
        yield from _text_faults(path, value, _where(path))
    else:
        yield Fault("invalid_type", path, f"{_where(path)} must be a string, this is {shown(value)}: send it in quotes")


def _text_faults(path: tuple[PathPart, ...], text: str, what: str) -> Iterator[Fault]:
    if not text:
        yield Fault("empty", path, f"{what} is empty: it has 1 to {NAME_CHARACTERS_MAX} characters")
    elif len(text) > NAME_CHARACTERS_MAX:
        message = f"{what} {shown(text)} has {len(text)} characters: {NAME_CHARACTERS_MAX} is the most"
        yield Fault("too_long", path, message)
    elif found := CONTROL.search(text):
        message = f"{what} {shown(text)} holds the control character U+{ord(found.group()):04X}: leave it out"
        yield Fault("control_character", path, message)


def _where(path: tuple[PathPart, ...]) -> str:
    return ".".join(_shortened(part) if isinstance(part, str) else str(part) for part in path)


def _visible(character: str) -> str:
    return f"\\u{ord(character):04x}" if CONTROL.match(character) else character


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}…"


def _shape() -> str:
    return "send {customer_id, event_type, timestamp, record}"
