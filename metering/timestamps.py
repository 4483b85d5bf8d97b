"""Read and write the instants of events as exact integers: microseconds since 1970-01-01 00:00 UTC.

An event's timestamp decides its billing period and which version of it wins, so it is read in one way everywhere:
the gateway that refuses a bad one, and the consumer that stores it, share these functions. `parse_event_timestamps`
is the same rule over a column, worked on the bytes of all texts at once; whatever it does not recognise goes through
`parse_event_timestamp`, so the two cannot disagree on what is refused.

Accepted: ISO 8601 as `2023-11-16T18:17:03.979Z`, with `T` or a space, with `Z`, an offset or none (= UTC), with or
without seconds and fraction; a bare date (= 00:00 UTC); or an integer of epoch milliseconds.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import numpy.typing as npt

MICROSECOND = 1
MILLISECOND = 1_000 * MICROSECOND
SECOND = 1_000 * MILLISECOND
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = 315_532_800 * SECOND
"""1980-01-01, the first instant an event may have."""
LATEST_US = 4_102_444_800 * SECOND
"""2100-01-01, the first instant an event may no longer have."""

_REMEDY = "send ISO 8601, such as 2023-11-16T18:17:03.979Z, or epoch milliseconds as a number"
_SHOWN_CHARACTERS_MAX = 64
_SECONDS_END = 19

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)


class TimestampError(ValueError):
    """A value is no timestamp, or lies outside of the years 1980 to 2099."""


def parse_event_timestamp(value: object) -> int:
    """Give microseconds since 1970 UTC; digits beyond the sixth are cut, not rounded.

    Raises:
        TimestampError: the value is no timestamp in an accepted form and range; the message says what to send.
    """
    if isinstance(value, str):
        return _within_range(parse_iso(value), value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _within_range(value * MILLISECOND, value)
    raise TimestampError(f"{_shown(value)} is no timestamp: {_REMEDY}")


def parse_iso(text: str) -> int:
    """Give the microseconds since 1970 of an ISO 8601 date or date-time, of any year; no offset means UTC.

    Raises:
        TimestampError: not in an accepted form, or no such day or time of day.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise TimestampError(f"{_shown(text)} is no timestamp: {_REMEDY}")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        wall = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC)
    except ValueError as error:
        raise TimestampError(f"{_shown(text)} is no timestamp: {error}") from None
    instant = microseconds(wall) + int((fraction or "")[:6].ljust(6, "0"))
    if sign is None:
        return instant
    if int(offset_hours) > 23 or int(offset_minutes or 0) > 59:
        raise TimestampError(f"{_shown(text)} is no timestamp: its offset goes beyond 23:59")
    offset = int(offset_hours) * HOUR + int(offset_minutes or 0) * MINUTE
    return instant + offset if sign == "-" else instant - offset


def parse_event_timestamps(values: Sequence[str | int]) -> npt.NDArray[np.int64]:
    """Give what `parse_event_timestamp` gives for each value, in order, as a column.

    Raises:
        TimestampError: one of the values is none; to learn of each which, parse them singly.
    """
    if set(map(type, values)) == {str} and len(set(map(len, cast(Sequence[str], values)))) == 1:
        return _parse_alike(values)
    groups: dict[object, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(len(value) if isinstance(value, str) else type(value), []).append(index)
    instants = np.empty(len(values), np.int64)
    for indexes in groups.values():
        instants[indexes] = _parse_alike([values[index] for index in indexes])
    return instants


def microseconds(instant: datetime) -> int:
    """Give an aware date-time as microseconds since 1970 UTC, exactly."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def format_instant(instant: int | datetime) -> str:
    """Give `2023-11-16T18:17:03.979Z`: RFC 3339 in UTC with milliseconds, further digits cut.

    `instant` is microseconds since 1970 UTC, or an aware date-time.
    """
    if not isinstance(instant, datetime):
        instant = EPOCH + timedelta(microseconds=instant)
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _parse_alike(values: Sequence[str | int]) -> npt.NDArray[np.int64]:
    """Parse values of one type, texts also of one length."""
    instants = np.zeros(len(values), np.int64)
    if isinstance(values[0], str):
        known = _parse_texts(cast(Sequence[str], values), instants)
    elif type(values[0]) is int:
        known = _scale_milliseconds(cast(Sequence[int], values), instants)
    else:
        known = np.zeros(len(values), np.bool_)
    known &= (instants >= EARLIEST_US) & (instants < LATEST_US)
    for row in np.flatnonzero(~known).tolist():
        instants[row] = parse_event_timestamp(values[row])
    return instants


def _scale_milliseconds(values: Sequence[int], instants: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Fill in the instants of epoch milliseconds and tell which are known: those in reach of 64 bits."""
    if min(values) < 0 or max(values) >= LATEST_US // MILLISECOND:
        return np.zeros(len(values), np.bool_)
    instants[:] = np.array(values, np.int64) * MILLISECOND
    return np.ones(len(values), np.bool_)


def _parse_texts(values: Sequence[str], instants: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Fill in the instants of the texts in the usual forms, `....-..-..[T ]..:..:..[.f][Z|+..:..]`, and tell which."""
    known = np.zeros(len(values), np.bool_)
    length = len(values[0])
    try:
        text = np.frombuffer("".join(values).encode("ascii"), np.uint8).reshape(len(values), length)
    except UnicodeEncodeError:
        return known
    if length < _SECONDS_END:
        return known
    zulu = text[:, -1] == ord("Z")
    offset = (text[:, -3] == ord(":")) & ((text[:, -6] == ord("+")) | (text[:, -6] == ord("-"))) & (length >= 25)
    for rows, end in ((zulu, length - 1), (offset, length - 6), (~(zulu | offset), length)):
        if rows.all():
            return _parse_layout(text, end, instants)
        if rows.any():
            part = instants[rows]
            known[rows] = _parse_layout(text[rows], end, part)
            instants[rows] = part
    return known


def _parse_layout(text: npt.NDArray[np.uint8], end: int, instants: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Parse texts whose date, time and fraction end at `end`; an offset, if there is more than a `Z`, follows."""
    known: npt.NDArray[np.bool_] = (text[:, 10] == ord("T")) | (text[:, 10] == ord(" "))
    for column, mark in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        np.logical_and(known, text[:, column] == ord(mark), out=known)

    def number(start: int, stop: int) -> npt.NDArray[np.int64]:
        value = np.zeros(len(text), np.int64)
        for column in range(start, stop):
            digit = text[:, column] - np.uint8(ord("0"))  # Wraps to a great number for what is no digit.
            np.logical_and(known, digit < 10, out=known)
            value = value * 10 + digit
        return value

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    known &= (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
    months = np.where(known, (year - 1970) * 12 + month - 1, 0)
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    known &= (day >= 1) & (day <= following - first)
    instants[:] = (first + day - 1) * DAY + hour * HOUR + minute * MINUTE + second * SECOND
    if end > _SECONDS_END:
        known &= (text[:, _SECONDS_END] == ord(".")) & (end > _SECONDS_END + 1)
        digits = min(end - _SECONDS_END - 1, 6)
        instants += number(_SECONDS_END + 1, _SECONDS_END + 1 + digits) * 10 ** (6 - digits)
        number(_SECONDS_END + 1 + digits, end)
    if text.shape[1] - end == 6:
        hours, minutes = number(end + 1, end + 3), number(end + 4, end + 6)
        known &= (hours < 24) & (minutes < 60)
        shift = hours * HOUR + minutes * MINUTE
        instants += np.where(text[:, end] == ord("-"), shift, -shift)
    return known


def _within_range(instant: int, value: str | int) -> int:
    if EARLIEST_US <= instant < LATEST_US:
        return instant
    if isinstance(value, int) and EARLIEST_US <= value * SECOND < LATEST_US:
        raise TimestampError(f"{value} reads as epoch seconds: send epoch milliseconds, {value * 1000}")
    raise TimestampError(f"{_shown(value)} lies outside of 1980-01-01 to 2099-12-31: {_REMEDY}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}…"
