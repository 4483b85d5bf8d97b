"""Say in SQL what a rollup's rows hold: totals that add up, by slice and customer."""

from metering.aggregation import NEEDS_PROPERTY, Aggregator, Operation
from metering.store.expressions import Expressions
from metering.store.measures import value
from metering.timestamps import MINUTE

SLICE_US = 15 * MINUTE
"""Every zone's hours and days begin at a quarter of an hour of UTC, since before the first event there may be."""

ZERO = "toDecimal256(0, 18)"


def parts_of(aggregator: Aggregator, expressions: Expressions, sign: str = "") -> str:
    """Give the columns `total, count, not_numbers` of one figure over the rows of the aggregator's type.

    They are numbers that may be added up; a count is in `count` alone. With the sign `-` they are what is lost.
    """
    matched = expressions.condition(aggregator.where)
    total, not_numbers = ZERO, "toInt64(0)"
    if aggregator.operation in NEEDS_PROPERTY:
        assert aggregator.operation is Operation.SUM
        number = value(aggregator, expressions)
        total = f"{sign}ifNull(sumIf({number}, {matched}), {ZERO})"
        not_numbers = f"{sign}toInt64(countIf({matched} AND {number} IS NULL))"
    return f"{total} AS total, {sign}toInt64(countIf({matched})) AS count, {not_numbers} AS not_numbers"


def slice_of(timestamp: str = "timestamp") -> str:
    """Give the start of the slice that a row's timestamp lies in."""
    seconds = SLICE_US // 1_000_000
    return f"toDateTime(intDiv(toUnixTimestamp64Micro({timestamp}), {SLICE_US}) * {seconds}, 'UTC')"
