"""From a database's own text of values to JSON text, a column at a time, without making an object of each value.

The values of a column are text or None. A check of the whole column at once tells whether the quick way can be taken;
only when something special is in it are its values looked at one by one.
"""

from collections.abc import Callable, Sequence

import msgspec

from loaders.source import BadValue, Cell

Written = Sequence[str | None]
Convert = Callable[[Written], list[Cell]]

_encode = msgspec.json.Encoder().encode
_NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_DATE_LENGTH = len("2026-01-31")


def numbers(values: Written) -> list[Cell]:
    """Give numbers, whose text in SQL is that in JSON, with all their digits."""
    if None not in values and _NO_NUMBERS.isdisjoint(values):
        return list(values)  # type: ignore[arg-type]  # None is not in it.
    return ["null" if one is None else one if one not in _NO_NUMBERS else _no_number(one) for one in values]


def texts(value_bytes_max: int) -> Convert:
    """Give text in quotes; a longer one is a fault."""

    def convert(values: Written) -> list[Cell]:
        some = None in values
        whole = "".join([one for one in values if one is not None]) if some else "".join(values)  # type: ignore[arg-type]
        if len(whole) <= value_bytes_max // 4 or _longest(values) <= value_bytes_max // 4:
            if b"\\" in _encode(whole):  # Some value needs an escape.
                return ["null" if one is None else _encode(one).decode() for one in values]
            if some:
                return ["null" if one is None else f'"{one}"' for one in values]
            return [f'"{one}"' for one in values]
        return ["null" if one is None else too_long(one, value_bytes_max) or _encode(one).decode() for one in values]

    return convert


def too_long(value: str, value_bytes_max: int) -> BadValue | None:
    """Give the fault of a value that an event has no room for, and None for any other."""
    if len(value) <= value_bytes_max // 4:
        return None
    size = len(value.encode())
    if size <= value_bytes_max:
        return None
    return BadValue(f"has {size} bytes, and {value_bytes_max} are allowed: shorten it in the query, or leave it out")


def naive_instants(values: Written) -> list[Cell]:
    """Give `2026-01-31 12:00:00.5`, of no zone, with a `T` and six decimals."""
    return [
        "null"
        if one is None
        else f'"{one[:10]}T{one[11:19]}.{one[20:]:0<6}"'
        if one[4] == "-" and one[-1] != "C"
        else _no_instant(one)
        for one in values
    ]


def dates(values: Written) -> list[Cell]:
    """Give dates as they are."""
    return [
        "null" if one is None else f'"{one}"' if len(one) == _DATE_LENGTH and one[4] == "-" else _no_instant(one)
        for one in values
    ]


def _longest(values: Written) -> int:
    return max(map(len, filter(None, values)), default=0)


def _no_number(value: str) -> BadValue:
    return BadValue(f"is {value}, and JSON has no such number: cast it to text, or leave it out")


def _no_instant(value: str) -> BadValue:
    return BadValue(f"is {value}, which is no date from the year 1 to 9999: leave it out, or cast it to text")
