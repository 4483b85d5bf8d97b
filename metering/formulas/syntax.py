"""The tree of a formula. Whatever it says is one of these nodes; nothing of its text goes anywhere else.

A number is an exact decimal or none. A condition is met or not, never unknown: what compares with no number is not met.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from metering.filters import Condition


class Sign(StrEnum):
    """What two numbers are put together by."""

    PLUS = "+"
    MINUS = "-"
    TIMES = "*"
    OVER = "/"


class Comparison(StrEnum):
    """How two numbers are compared."""

    EQUAL = "="
    UNEQUAL = "<>"
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


class Function(StrEnum):
    """Functions of one number or more."""

    ABS = "abs"
    CEIL = "ceil"
    FLOOR = "floor"
    LEAST = "least"
    GREATEST = "greatest"
    COALESCE = "coalesce"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Property:
    """A property of the record: the number that it is in a sum, or none."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    """A number with the other sign."""

    of: "Numeric"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers put together."""

    sign: Sign
    left: "Numeric"
    right: "Numeric"


@dataclass(frozen=True, slots=True)
class Round:
    """A number at so many decimals, half away from zero."""

    of: "Numeric"
    decimals: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function of numbers. The least, the greatest and the first of several pass over what is no number."""

    function: Function
    arguments: Sequence["Numeric"]


@dataclass(frozen=True, slots=True)
class Case:
    """The number of the first condition that is met, else `otherwise`; None is no number."""

    branches: Sequence[tuple["Conditional", "Numeric"]]
    otherwise: "Numeric | None"


@dataclass(frozen=True, slots=True)
class Compare:
    """Two numbers compared. Unequal is whatever is not equal."""

    comparison: Comparison
    left: "Numeric"
    right: "Numeric"


@dataclass(frozen=True, slots=True)
class Meets:
    """A property and a text, a boolean, a list or null: as in a filter."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that was worked out is no number."""

    of: "Numeric"


@dataclass(frozen=True, slots=True)
class Not:
    """A condition is not met."""

    of: "Conditional"


@dataclass(frozen=True, slots=True)
class Both:
    """Both of two conditions are met, or at least one."""

    left: "Conditional"
    right: "Conditional"
    either: bool


Numeric = Number | Property | Negative | Arithmetic | Round | Call | Case
Conditional = Compare | Meets | Missing | Not | Both
