"""From a request's bytes to the events that go into the log and the faults that go back.

The bytes of good events are passed on as they were sent. A request as a whole is refused only for what makes it
unreadable; a bad event among others is told apart and never stops them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import msgspec

from ingest.quick_batch import count_if_proven_good
from ingest.quick_event import proves_good_event
from ingest.rules import BATCH_EVENTS_MAX, EVENT_BYTES_MAX, event_faults, too_large
from ingest.strict_json import read_strictly
from metering.http.json import MalformedJsonError
from metering.http.problem import ApiError, Fault, invalid

FAULTS_TOLD_MAX = 25
"""How many faults of a single event are told at once."""

_WHITE_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """One event that was refused: where it stood in the request, its bytes as sent, what is wrong first."""

    index: int
    sent: bytes
    fault: Fault


@dataclass(frozen=True, slots=True)
class Checked:
    """What a request holds: `events` good ones, as the JSON array `body` for the log, None when there is none."""

    body: bytes | None
    events: int
    failures: Sequence[Failure] = ()


class _Wrapper(msgspec.Struct):
    events: msgspec.Raw


_Elements: Any = msgspec.defstruct(
    "_Elements",
    [(f"element_{index}", msgspec.Raw, msgspec.Raw()) for index in range(BATCH_EVENTS_MAX)],
    array_like=True,
    forbid_unknown_fields=True,
)
"""An array of at most 5000 values of any kind. Unlike a list of Raw, it stops at the first one too many, so an array
of millions costs no memory."""

_elements = msgspec.json.Decoder(_Elements)
_wrapper = msgspec.json.Decoder(_Wrapper)
_anything = msgspec.json.Decoder(msgspec.Raw)


def check_event(body: bytes) -> bytes:
    """Give the JSON array for the log of a request that is one event.

    Raises:
        ApiError: 400 with all faults, 413 when it is too large.
    """
    if not proves_good_event(body):
        _judge_event(body)
    return b"[" + body + b"]"


def check_batch(body: bytes) -> Checked:
    """Tell the good events of an array from the others. `{"events": [...]}` is taken as the array.

    Raises:
        ApiError: 400; nothing of the request may be stored.
    """
    if body.lstrip(_WHITE_SPACE)[:1] == b"{":
        body = _unwrapped(body)
    events = count_if_proven_good(body)
    return Checked(body, events) if events else _judge_batch(body)


def _judge_event(body: bytes) -> None:
    body = body.strip(_WHITE_SPACE)
    if len(body) > EVENT_BYTES_MAX:
        _decode(_anything, body)
        fault = too_large(len(body))
        raise ApiError(413, fault.message, (fault,))
    event = _read(body)
    if isinstance(event, list):
        raise invalid("this is an array: send one event here, or the array to POST /v1/events/batch")
    faults = list(islice(event_faults(event), FAULTS_TOLD_MAX))
    if faults:
        raise invalid(faults[0].message, *faults)


def _judge_batch(body: bytes) -> Checked:
    elements = _split(body)
    if not elements:
        raise invalid(f"the array is empty: send 1 to {BATCH_EVENTS_MAX} events")
    good: list[bytes] = []
    failures: list[Failure] = []
    for index, element in enumerate(elements):
        sent = bytes(element)
        fault = None if proves_good_event(sent) else _first_fault(index, sent)
        if fault is None:
            good.append(sent)
        else:
            failures.append(Failure(index, sent, fault))
    if not failures:
        return Checked(body, len(good))
    return Checked(b"[" + b",".join(good) + b"]" if good else None, len(good), failures)


def _first_fault(index: int, sent: bytes) -> Fault | None:
    if len(sent) > EVENT_BYTES_MAX:
        return too_large(len(sent))
    return next(event_faults(_read(sent, f"the event at index {index} is ")), None)


def _split(body: bytes) -> list[msgspec.Raw]:
    """Give the array's values as they were sent."""
    if body.lstrip(_WHITE_SPACE)[:1] not in {b"[", b""}:
        raise invalid(f"send a JSON array of 1 to {BATCH_EVENTS_MAX} events")
    too_many = f"the array has more than {BATCH_EVENTS_MAX} events: send them in several requests"
    elements = msgspec.structs.astuple(_decode(_elements, body, too_many))
    return [element for element in cast("tuple[msgspec.Raw, ...]", elements) if memoryview(element).nbytes]


def _unwrapped(body: bytes) -> bytes:
    """Give the array of `{"events": [...]}`."""
    instead = f"send a JSON array of 1 to {BATCH_EVENTS_MAX} events; one event, an object, goes to POST /v1/events"
    events = bytes(_decode(_wrapper, body, instead).events)
    around = body.replace(events, b"0", 1)
    if len(around) > EVENT_BYTES_MAX:
        raise invalid(f'beside "events" the object holds {len(around)} bytes: send the array alone')
    _read(around)
    return events


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes, mistyped: str = "") -> Any:
    """Decode, passing over what is inside of Raw: the body is then known to be UTF-8, and JSON by its syntax."""
    try:
        body.decode()
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise invalid(mistyped) from None
    except msgspec.DecodeError as error:
        raise invalid(f"malformed JSON: {str(error).removeprefix('JSON is malformed: ')}") from None
    except UnicodeDecodeError as error:
        raise invalid(f"malformed JSON: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise invalid("malformed JSON: nested too deep") from None


def _read(text: bytes, where: str = "") -> Any:
    try:
        return read_strictly(text)
    except MalformedJsonError as error:
        raise invalid(f"{where}malformed JSON: {error}") from None
