"""Read price rows as a client sent them, noting every fault instead of stopping at the first.

A reader hands out a stand-in where a value is faulty, so that the rest of the row can still be judged. Stand-ins
never escape: whoever reads rows ends with `Faults.check`, which raises if anything was noted.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

from billing.errors import InvalidPriceError
from billing.money import AMOUNT_MAX, MONEY
from metering.http.problem import Fault, PathPart

NUMBER_MAX_EXPONENT = 20
"""Numbers lie strictly between -10^20 and 10^20."""
DECIMALS_MAX = 18
FAULTS_MAX = 100
"""More faults than this help nobody; the rest is not reported."""

ZERO = Decimal(0)
ONE = Decimal(1)

Path = tuple[PathPart, ...]


class Incomplete(StrEnum):
    """What an incomplete tier or bucket costs."""

    PRO_RATA = "pro_rata"
    PAY_IN_FULL = "pay_in_full"
    DO_NOT_CHARGE = "do_not_charge"


class Faults:
    """The faults found so far in one request."""

    def __init__(self) -> None:
        self._noted: list[Fault] = []
        self._count = 0

    def __len__(self) -> int:
        """Count all, those beyond `FAULTS_MAX` too: readers compare it to see whether one was noted meanwhile."""
        return self._count

    def note(self, code: str, path: Sequence[PathPart], message: str) -> None:
        """Add one; `message` names the field, the value and the remedy."""
        self._count += 1
        if self._count <= FAULTS_MAX:
            self._noted.append(Fault(code, tuple(path), message))

    def check(self) -> None:
        """Go on if nothing was noted.

        Raises:
            InvalidPriceError: something was.
        """
        if self._noted:
            raise InvalidPriceError(self._noted)


class Fields:
    """One JSON object and where it stands in the request."""

    def __init__(self, values: Mapping[str, Any], path: Path, faults: Faults) -> None:
        self.path = path
        self.faults = faults
        self._values = values

    def get(self, name: str) -> Any:
        """Give a field as it was sent; absent and null are the same."""
        return self._values.get(name)

    def note(self, code: str, name: str, message: str) -> None:
        """Note a fault of one field."""
        self.faults.note(code, (*self.path, name), message)

    def number(self, name: str, *, default: Decimal | None = None, above_zero: bool = False) -> Decimal:
        """Read a number that is not negative; without a default it must be there. A fault gives 1."""
        value = self.get(name)
        if value is None and default is not None:
            return default
        number = read_number(value, (*self.path, name), self.faults)
        if number is None:
            return ONE
        if number < 0 or (above_zero and not number):
            least = "above 0" if above_zero else "0 or more"
            self.note("out_of_range", name, f"{named((*self.path, name))} is {shown(value)}: it must be {least}")
            return ONE
        return number

    def optional(self, name: str) -> Decimal | None:
        """Read a number that is not negative, or None where there is none."""
        return None if self.get(name) is None else self.number(name)

    def minor_units(self, name: str) -> int | None:
        """Read a whole amount of minor units, 0 or more, or None where there is none."""
        number = self.optional(name)
        if number is None:
            return None
        if number != number.to_integral_value() or number > AMOUNT_MAX:
            message = f"is {shown(self.get(name))}: it must be a whole number of minor units, at most {AMOUNT_MAX}"
            self.note("out_of_range", name, f"{named((*self.path, name))} {message}")
            return None
        return int(number)

    def incomplete(self) -> Incomplete:
        """Read what an incomplete tier costs, under either of its two names."""
        found: list[Incomplete] = []
        for name in ("on_tier_incomplete", "on_bucket_incomplete"):
            value = self.get(name)
            if value is None:
                continue
            if isinstance(value, str) and value in _INCOMPLETE:
                found.append(_INCOMPLETE[value])
            else:
                known = ", ".join(_INCOMPLETE)
                where = named((*self.path, name))
                self.note("unknown", name, f"{where} is {shown(value)}: send one of {known}, or null")
        if len(set(found)) > 1:
            message = "on_tier_incomplete and on_bucket_incomplete differ: send one of them"
            self.note("contradiction", "on_bucket_incomplete", f"{named(self.path)}: {message}")
        return found[0] if found else Incomplete.PRO_RATA


_INCOMPLETE = {mode.value: mode for mode in Incomplete}


def read_number(value: Any, path: Path, faults: Faults) -> Decimal | None:
    """Give a number exactly, without trailing zeros, or None once a fault was noted.

    Raises:
        TypeError: it is a float, so digits are lost already: the caller parsed JSON the wrong way.
    """
    if isinstance(value, float):
        raise TypeError(f"{named(path)} is a float: parse JSON numbers as int or Decimal")
    if value is None:
        faults.note("required", path, f"{named(path)} is missing: send a number")
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        faults.note("invalid_type", path, f"{named(path)} is {shown(value)}: send a JSON number")
        return None
    number = _within_limits(value)
    if number is None:
        message = f"must lie within 10^{NUMBER_MAX_EXPONENT} and have at most {DECIMALS_MAX} decimals"
        faults.note("out_of_range", path, f"{named(path)} is {shown(value)}: it {message}")
    return number


def require_single(rows: Sequence[Fields], model: str) -> None:
    """Note a fault where a price of one row has more."""
    if len(rows) > 1:
        where = named(rows[1].path)
        rows[1].faults.note("too_many", rows[1].path, f"{where}: a {model} has one row, so remove this one")


def named(path: Sequence[PathPart]) -> str:
    """Write a path as people do: `prices[1].from`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the request"


def shown(value: Any) -> str:
    """Write a value into a message: short, printable, and without looking into lists and objects."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else "a number of more than 60 digits"
    if isinstance(value, Decimal):
        return str(value)[:60]
    return "an object" if isinstance(value, Mapping) else "a list"


def _within_limits(value: int | Decimal) -> Decimal | None:
    if isinstance(value, int):
        return Decimal(value) if abs(value) < 10**NUMBER_MAX_EXPONENT else None
    if not value:
        return ZERO if value.is_finite() else None
    if not value.is_finite() or not -DECIMALS_MAX <= value.adjusted() < NUMBER_MAX_EXPONENT:
        return None
    if len(value.as_tuple().digits) > MONEY.prec:
        return None
    number = MONEY.normalize(value)
    exponent = int(number.as_tuple().exponent)
    if exponent > 0:
        return Decimal(int(number))
    return number if exponent >= -DECIMALS_MAX else None
