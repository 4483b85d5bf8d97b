"""Work a formula out in memory: for previews, for prices of events, and to hold the store's answer against.

Each step gives a number as events may hold it: with 18 decimals, half away from zero, below 10^20. What lies beyond is
no number, nor is what was worked out from one that is none, or by dividing by zero. So whatever a formula says, no step
costs more than 76 digits.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from metering.decimals import DECIMALS_MAX, EXACT, INTEGER_DIGITS_MAX
from metering.filters import Conditional as Joined
from metering.filters import Filter, matches, number_of, text_of
from metering.formulas.parser import Formula
from metering.formulas.syntax import (
    Arithmetic,
    Both,
    Call,
    Case,
    Compare,
    Comparison,
    Conditional,
    Function,
    Meets,
    Missing,
    Negative,
    Not,
    Number,
    Numeric,
    Property,
    Round,
    Sign,
)

UNIT = 10**DECIMALS_MAX
"""Numbers are worked out as integers of the last decimal."""
LIMIT = 10 ** (DECIMALS_MAX + INTEGER_DIGITS_MAX)

Record = Mapping[str, Any]


def evaluate(formula: Formula, record: Record) -> Decimal | None:
    """Give what a decoded record (its id included) is worth, None for no number."""
    units = _units(formula.root, record)
    return None if units is None else EXACT.scaleb(Decimal(units), -DECIMALS_MAX)


def _units(node: Numeric, record: Record) -> int | None:
    if isinstance(node, Number):
        return _from_decimal(node.value)
    if isinstance(node, Property):
        value = record.get(node.name)
        number = number_of(text_of(value) if node.name == "id" else value)
        return None if number is None else _from_decimal(number)
    if isinstance(node, Case):
        for condition, then in node.branches:
            if _met(condition, record):
                return _units(then, record)
        return None if node.otherwise is None else _units(node.otherwise, record)
    if isinstance(node, Call):
        return _called(node, record)
    if isinstance(node, Arithmetic):
        left, right = _units(node.left, record), _units(node.right, record)
        return None if left is None or right is None else _limited(_put_together(node.sign, left, right))
    of = _units(node.of, record)
    if of is None:
        return None
    if isinstance(node, Negative):
        return -of
    assert isinstance(node, Round)
    step = 10 ** (DECIMALS_MAX - node.decimals)
    return _limited(_divided(of, step) * step)


def _called(call: Call, record: Record) -> int | None:
    values = [_units(argument, record) for argument in call.arguments]
    known = [value for value in values if value is not None]
    if not known:
        return None
    if call.function is Function.COALESCE:
        return known[0]
    if call.function is Function.LEAST:
        return min(known)
    if call.function is Function.GREATEST:
        return max(known)
    if call.function is Function.ABS:
        return abs(known[0])
    if call.function is Function.FLOOR:
        return _limited(known[0] // UNIT * UNIT)
    return _limited(-(-known[0] // UNIT) * UNIT)


def _put_together(sign: Sign, left: int, right: int) -> int | None:
    if sign is Sign.PLUS:
        return left + right
    if sign is Sign.MINUS:
        return left - right
    if sign is Sign.TIMES:
        return _divided(left * right, UNIT)
    return None if right == 0 else _divided(left * UNIT, right)


def _met(node: Conditional, record: Record) -> bool:
    if isinstance(node, Meets):
        return matches(Filter(Joined.AND, (node.condition,)), record)
    if isinstance(node, Missing):
        return _units(node.of, record) is None
    if isinstance(node, Not):
        return not _met(node.of, record)
    if isinstance(node, Both):
        left, right = _met(node.left, record), _met(node.right, record)
        return left or right if node.either else left and right
    left_units, right_units = _units(node.left, record), _units(node.right, record)
    return _compared(node, left_units, right_units)


def _compared(node: Compare, left: int | None, right: int | None) -> bool:
    if left is None or right is None:
        return node.comparison is Comparison.UNEQUAL
    return {
        Comparison.EQUAL: left == right,
        Comparison.UNEQUAL: left != right,
        Comparison.LESS: left < right,
        Comparison.AT_MOST: left <= right,
        Comparison.MORE: left > right,
        Comparison.AT_LEAST: left >= right,
    }[node.comparison]


def _divided(dividend: int, divisor: int) -> int:
    """Divide to an integer, half away from zero."""
    quotient = (2 * abs(dividend) + abs(divisor)) // (2 * abs(divisor))
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def _limited(units: int | None) -> int | None:
    return None if units is None or abs(units) >= LIMIT else units


def _from_decimal(number: Decimal) -> int:
    return int(EXACT.scaleb(number, DECIMALS_MAX))
