"""Prove in a few microseconds that a request is one good event.

`proves_good_event` may say no of a good event (the rules then judge it); it never says yes of a bad one. msgspec checks
syntax, the four fields, their types and the number of properties; the rest is one pass over the record, and the proofs
that `ingest.quick_batch` explains: every key once, no control character.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ingest.numbers import plain_number
from ingest.rules import EVENT_BYTES_MAX, NAME_CHARACTERS_MAX, PROPERTIES_MAX
from metering.timestamps import TimestampError, parse_event_timestamp

_PLAIN_NUMBER_LENGTH_MAX = 19
_NUMBER_MAX = 10**20

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]


class _Event(msgspec.Struct, gc=False):
    customer_id: _Name
    event_type: _Name
    timestamp: str | int
    record: Annotated[dict[str, Any], Meta(max_length=PROPERTIES_MAX)]


_fractions: list[str] = []
"""The texts of numbers with a fraction or an exponent, which read as None."""
_decode = msgspec.json.Decoder(_Event, float_hook=_fractions.append).decode

_usual_timestamp = re.compile(
    r"(?:19[89]\d|20\d\d)-"
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?Z?",
    re.ASCII,
).fullmatch
"""Forms that `parse_event_timestamp` surely takes; it decides on all others."""
_quote_and_space = re.compile(rb'"[ \t\r\n]').search


def proves_good_event(body: bytes) -> bool:
    """Tell whether the bytes are surely one good event; False says nothing."""
    if len(body) > EVENT_BYTES_MAX:
        return False
    _fractions.clear()
    try:
        event = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    record = event.record
    return (
        body.count(b'":') == 4 + len(record)
        and body.isascii()
        and b"\\" not in body
        and b"\x7f" not in body
        and _is_good_record(record)
        and (not _fractions or _are_good_numbers())
        and _is_good_timestamp(event.timestamp)
        and _quote_and_space(body) is None
    )


def _is_good_record(record: dict[str, Any]) -> bool:
    record_id = record.get("id")
    if type(record_id) is str:
        if not 0 < len(record_id) <= NAME_CHARACTERS_MAX:
            return False
    elif type(record_id) is not int:
        return False
    for name, value in record.items():
        if not 0 < len(name) <= NAME_CHARACTERS_MAX:
            return False
        if value is None:
            continue
        kind = type(value)
        if kind is int:
            if not -_NUMBER_MAX < value < _NUMBER_MAX:
                return False
        elif kind is not str and kind is not bool:
            return False
    return True


def _are_good_numbers() -> bool:
    return all(
        (len(text) <= _PLAIN_NUMBER_LENGTH_MAX and "e" not in text and "E" not in text)
        or plain_number(text) is not None
        for text in _fractions
    )


def _is_good_timestamp(value: str | int) -> bool:
    if type(value) is str and _usual_timestamp(value) is not None:
        return True
    try:
        parse_event_timestamp(value)
    except TimestampError:
        return False
    return True
