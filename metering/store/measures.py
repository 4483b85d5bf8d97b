"""Say in SQL how each operation turns matching rows into a figure: the store's half of `metering.aggregation`.

Totals leave the store as text: every digit arrives, whatever a driver does with decimals.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal

from metering.aggregation import NEEDS_PROPERTY, Aggregator, Operation, Usage
from metering.decimals import plain
from metering.store.expressions import Expressions

COLUMNS = 3
"""How many columns a figure takes."""

_TOTALS: Mapping[Operation, Callable[[str, str], str]] = {
    Operation.COUNT: lambda matched, _: f"countIf({matched})",
    Operation.SUM: lambda matched, number: f"sumIf({number}, {matched})",
}


def figure_columns(aggregator: Aggregator, matched: str, expressions: Expressions) -> str:
    """Give the columns of one figure over the matched rows: total as text, count, how many values were no number."""
    number, not_numbers = "", "0"
    if aggregator.operation in NEEDS_PROPERTY:
        assert aggregator.property is not None
        number = expressions.number(aggregator.property)
        not_numbers = f"countIf({matched} AND {number} IS NULL)"
    return f"toString({_TOTALS[aggregator.operation](matched, number)}), countIf({matched}), {not_numbers}"


def figure(total: str | None, count: int, not_numbers: int) -> Usage:
    """Read one figure; a total that is missing, because no row had a number, is 0."""
    return Usage(Decimal(plain(Decimal(total or "0"))), count, not_numbers)


def matched_by(aggregator: Aggregator, expressions: Expressions, *, one_type: bool) -> str:
    """Give the condition of a row that counts; where all rows are of the aggregator's type, its filter alone."""
    where = expressions.condition(aggregator.where)
    if one_type:
        return where
    return f"(event_type = {expressions.bind('String', aggregator.entity)} AND {where})"
