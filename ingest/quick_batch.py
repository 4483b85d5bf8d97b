"""Prove at once that all events of a batch are good, in C and over the whole bytes.

`count_if_proven_good` may say no of good events (the rules then judge them one by one); it never says yes of a bad
one. Each part is a cheap proof that covers what clients usually send, with an exact check behind it for the rest:

- msgspec decodes: syntax, the four fields, their types and lengths, at most 25 properties. It hands over the text of
  numbers with a fraction or an exponent; then it checks the types of all properties at once.
- Duplicate keys, which msgspec passes over: where no quote is followed by white space, each key ends in `":`, so
  when there are as many `":` as decoded keys, each key was there once and there was no other.
- Control characters: in ASCII without a backslash or U+007F there are none, since JSON allows none bare.
- Size: when every `{` begins an event or a record and each 16 KiB hold one, no event has more than 64 KiB.

The work and the memory are bounded before anything is decoded: see `COMMAS_MAX`.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from ingest.numbers import plain_number
from ingest.rules import BATCH_EVENTS_MAX, CONTROL, EVENT_BYTES_MAX, NAME_CHARACTERS_MAX, PROPERTIES_MAX
from ingest.strict_json import read_strictly
from metering.http.json import MalformedJsonError
from metering.timestamps import TimestampError, parse_event_timestamps

COMMAS_MAX = 400_000
"""More values than that are not decoded at once: 32 MiB of small values would take a gigabyte as objects."""

_SMALL_BYTES = 2048
_WINDOW_BYTES = 16 * 1024
_PLAIN_NUMBER_LENGTH_MAX = 19
_QUOTE_AND_SPACE = re.compile(rb'"[ \t\r\n]')
_QUOTE, _COLON, _COMMA, _BRACE = b'":,{'

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
_Scalar = bool | Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | str | None
_Values = list[_Scalar | list[_Scalar]]


class _Event(msgspec.Struct, gc=False):
    customer_id: _Name
    event_type: _Name
    timestamp: str | int
    record: Annotated[dict[str, Any], Meta(max_length=PROPERTIES_MAX)]


_fractions: list[str] = []
"""The texts of numbers with a fraction or an exponent, which read as None."""

_decode = msgspec.json.Decoder(list[_Event], float_hook=_fractions.append).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode


def count_if_proven_good(body: bytes) -> int:
    """Give how many events a JSON array holds if they are surely 1 to 5000 good ones; 0 says nothing."""
    if len(body) > EVENT_BYTES_MAX and _count(body, _COMMA) > COMMAS_MAX:
        return 0
    try:
        events = _decode(body)
        good = 0 < len(events) <= BATCH_EVENTS_MAX and _are_good(body, events)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TimestampError):
        return 0
    finally:
        _fractions.clear()
    return len(events) if good else 0


def _are_good(body: bytes, events: Sequence[_Event]) -> bool:
    """Check what the decoding left open; raises the errors of what it calls for some that are not."""
    records = [event.record for event in events]
    try:
        ids = [record["id"] for record in records]
    except KeyError:
        return False
    kinds = set(map(type, ids))
    if not kinds <= {str, int}:
        return False
    texts = ids if kinds == {str} else [value for value in ids if isinstance(value, str)]
    names = set().union(*records)
    msgspec.convert(list(chain.from_iterable(map(dict.values, records))), _Values)
    parse_event_timestamps([event.timestamp for event in events])
    return (
        _have_good_lengths(names)
        and _have_good_lengths(texts)
        and _are_numbers(_fractions)
        and _holds_each_key_once(body, 4 * len(events) + sum(map(len, records)))
        and _holds_no_control_characters(body, events, names, texts)
        and (len(body) <= EVENT_BYTES_MAX or _holds_no_large_event(body, len(events)))
    )


def _are_numbers(texts: Sequence[str]) -> bool:
    """Tell whether all of these are within the limits."""
    if not texts or len(max(texts, key=len)) <= _PLAIN_NUMBER_LENGTH_MAX:
        together = "".join(texts)
        if "e" not in together and "E" not in together:
            return True
    return all(plain_number(text) is not None for text in texts)


def _have_good_lengths(texts: Iterable[str]) -> bool:
    lengths = set(map(len, texts))
    return not lengths or (min(lengths) > 0 and max(lengths) <= NAME_CHARACTERS_MAX)


def _holds_each_key_once(body: bytes, keys: int) -> bool:
    if _count_pairs(body, _QUOTE, _COLON) == keys and not _has_space_after_quote(body):
        return True
    try:
        read_strictly(body)
    except MalformedJsonError:
        return False
    return True


def _has_space_after_quote(body: bytes) -> bool:
    spaces = [space for space in b" \n\r\t" if space in body]
    if len(body) <= _SMALL_BYTES:
        return bool(spaces) and _QUOTE_AND_SPACE.search(body) is not None
    return any(_count_pairs(body, _QUOTE, space) for space in spaces)


def _holds_no_control_characters(
    body: bytes, events: Sequence[_Event], names: Iterable[str], ids: Iterable[str]
) -> bool:
    if body.isascii() and b"\\" not in body and b"\x7f" not in body:
        return True
    texts = chain(names, ids, [event.customer_id for event in events], [event.event_type for event in events])
    return CONTROL.search("".join(texts)) is None


def _holds_no_large_event(body: bytes, events: int) -> bool:
    """Tell whether no event has more than 64 KiB.

    One that has covers three whole windows after its first byte, and only one of them can hold its record's brace.
    """
    if _count(body, _BRACE) == 2 * events:
        starts = range(0, len(body) - _WINDOW_BYTES + 1, _WINDOW_BYTES)
        if all(body.find(b"{", start, start + _WINDOW_BYTES) >= 0 for start in starts):
            return True
    return max(memoryview(event).nbytes for event in _decode_raw(body)) <= EVENT_BYTES_MAX


def _count(body: bytes, byte: int) -> int:
    """Count a byte: eight times as fast as `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == byte))


def _count_pairs(body: bytes, first: int, second: int) -> int:
    """Count two unlike bytes in a row, as 16-bit words from the first byte on and from the second."""
    if len(body) <= _SMALL_BYTES:
        return body.count(bytes((first, second)))
    pair = np.frombuffer(bytes((first, second)), np.uint16)[0]
    even = np.frombuffer(body, np.uint16, len(body) // 2)
    odd = np.frombuffer(body, np.uint16, (len(body) - 1) // 2, 1)
    return int(np.count_nonzero(even == pair)) + int(np.count_nonzero(odd == pair))
