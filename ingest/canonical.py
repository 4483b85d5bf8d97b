"""Give events the one form in which they are stored and compared.

A number is plain decimal text: no exponent, no trailing zeros, no -0; it never passes through a float, so every digit
that was sent is kept. A record is minimal JSON with sorted names. So two ways to write the same record become the
same bytes, and "did the content change?" is a comparison of bytes.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import msgspec
from xxhash import xxh3_128_digest

from ingest.numbers import plain_number

NUMBER_DIGITS_MAX = 64
"""More digits or zeros than the gateway lets through, and few enough to write out."""

NUMBER_ID_SEED = 1
"""Sets a record whose id is the number 485 apart from one whose id is the text "485": one key, but two contents."""

_EXACT = Context(prec=2 * NUMBER_DIGITS_MAX, traps=[Inexact, InvalidOperation])


class FaultyEventError(ValueError):
    """The gateway would not have let this through."""


class SentEvent(msgspec.Struct, gc=False):
    """An event as its section carries it. `record` loses its id when it is stored."""

    customer_id: str
    timestamp: str | int
    event_type: str
    record: dict[str, Any]


class RedactedEvent(SentEvent, gc=False, omit_defaults=True):
    """An event whose text may have been erased: `content_hash`, in hexadecimal, is that of what it said before."""

    content_hash: str | None = None


def canonical_number(text: str) -> str:
    """Give a JSON number as plain decimal text.

    Raises:
        FaultyEventError: it would take more than 64 digits.
    """
    if "e" in text or "E" in text:
        return _written_out(text)
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def canonical_record_id(value: object) -> tuple[str, bool]:
    """Give a `record.id` as text, and whether it was a number: 485, 485.0, 4.85e2 and "485" are one id.

    Raises:
        FaultyEventError: it is neither a string nor a number.
    """
    if isinstance(value, str):
        return value, False
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode(), True
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), True
    raise FaultyEventError(f"record.id is {type(value).__name__}: it has to be a string or a number")


def decode_events(body: bytes, *, redacted: bool = False) -> Sequence[SentEvent]:
    """Read a JSON array of events; numbers with a fraction or exponent come as canonical `msgspec.Raw`.

    `redacted`: each is a `RedactedEvent`. What a client sent never is, whatever it says.

    Raises:
        FaultyEventError: the body is no array of events.
    """
    try:
        return _REDACTED_DECODER.decode(body) if redacted else _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FaultyEventError(str(error)) from error


encode_record = msgspec.json.Encoder(order="deterministic").encode
"""Give a decoded record as canonical JSON."""


def _written_out(text: str) -> str:
    within = plain_number(text)
    if within is not None:
        return within
    try:
        number = Decimal(text).normalize(_EXACT)
    except (Inexact, InvalidOperation) as error:
        raise FaultyEventError(f"{text[:NUMBER_DIGITS_MAX]} has too many digits") from error
    if not number:
        return "0"
    if abs(number.adjusted()) > NUMBER_DIGITS_MAX:
        raise FaultyEventError(f"{text[:NUMBER_DIGITS_MAX]} is too great or too small to write out")
    return format(number, "f")


def raw_number(text: str) -> msgspec.Raw:
    """Give a number with a fraction or an exponent as canonical `msgspec.Raw`: a `float_hook`."""
    # Most are plain as they stand.
    if text[-1] != "0" and "e" not in text and "E" not in text:
        return msgspec.Raw(text.encode())
    return msgspec.Raw(canonical_number(text).encode())


def content_hash(properties: bytes, *, is_number: bool) -> bytes:
    """Hash what an event says: its record without the id, as canonical JSON, and whether the id was a number."""
    return xxh3_128_digest(properties, NUMBER_ID_SEED if is_number else 0)


_DECODER = msgspec.json.Decoder(list[SentEvent], float_hook=raw_number)
_REDACTED_DECODER = msgspec.json.Decoder(list[RedactedEvent], float_hook=raw_number)
