"""Say in SQL what each operation gathers of the matching rows: the store's half of `metering.aggregation`.

A figure is three columns: the exact parts of its total as texts, the count, and how many values were no number. As
text every digit arrives, whatever a driver does with decimals; the total is made of the parts by `settled`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from metering.aggregation import NEEDS_PROPERTY, READS_EARLIER, Aggregator, Operation, Usage, settled
from metering.store.expressions import Expressions
from metering.store.formula_sql import worth
from metering.windows import Window

COLUMNS = 3
"""How many columns a figure takes."""

_TIME = "toUnixTimestamp64Micro(timestamp)"


@dataclass(frozen=True, slots=True)
class Told:
    """What a figure depends on besides the row.

    `since` is the expression of the instant at which the row's window begins, microseconds since 1970; None is no
    window. `known` is a text of which it is asked whether it is among the unique values (`unique_text`).
    """

    since: str | None = None
    known: str | None = None


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class _Row:
    """The expressions of one row: whether it counts, its number or text, and what is told."""

    matched: str
    value: str
    told: Told
    expressions: Expressions

    @property
    def valued(self) -> str:
        return f"{self.matched} AND {self.value} IS NOT NULL"

    @property
    def inside(self) -> str:
        return f"{self.matched} AND {'1' if self.told.since is None else f'{_TIME} >= {self.told.since}'}"

    @property
    def before(self) -> str:
        return f"{self.matched} AND {'0' if self.told.since is None else f'{_TIME} < {self.told.since}'}"


def _latest(row: _Row) -> list[str]:
    parts = (row.value, f"toNullable({_TIME})", "toNullable(position)")
    return [f"argMaxIf({part}, ({_TIME}, position), {row.valued})" for part in parts]


def _unique(row: _Row) -> list[str]:
    known = "0"
    if row.told.known is not None:
        known = f"countIf({row.matched} AND ifNull({row.value} = {row.expressions.bind('String', row.told.known)}, 0))"
    return [f"uniqExactIf({row.value}, {row.valued})", known]


def _weighted_sum(row: _Row) -> list[str]:
    moment = f"{row.value} * toInt256({_TIME})"
    return [f"sumIf({row.value}, {row.before})", f"sumIf({row.value}, {row.inside})", f"sumIf({moment}, {row.inside})"]


_PARTS: Mapping[Operation, Callable[[_Row], Sequence[str]]] = {
    Operation.COUNT: lambda row: [f"countIf({row.matched})"],
    Operation.SUM: lambda row: [f"sumIf({row.value}, {row.matched})"],
    Operation.MAX: lambda row: [f"maxIf({row.value}, {row.valued})"],
    Operation.MIN: lambda row: [f"minIf({row.value}, {row.valued})"],
    Operation.AVERAGE: lambda row: [f"sumIf({row.value}, {row.matched})"],
    Operation.LATEST: _latest,
    Operation.UNIQUE: _unique,
    Operation.WEIGHTED_SUM: _weighted_sum,
}


def figure_columns(aggregator: Aggregator, matched: str, expressions: Expressions, told: Told = NOTHING_TOLD) -> str:
    """Give the columns of one figure over the matched rows: its parts as texts, count, how many were no number."""
    row = _Row(matched, told_apart(aggregator, expressions), told, expressions)
    parts = ", ".join(f"toString({part})" for part in _PARTS[aggregator.operation](row))
    counted = row.inside if aggregator.operation in READS_EARLIER else matched
    not_numbers = f"countIf({counted} AND {row.value} IS NULL)" if row.value else "0"
    return f"[{parts}], countIf({counted}), {not_numbers}"


def figure(operation: Operation, columns: Sequence[Any], window: Window | None = None) -> Usage:
    """Read the columns of one figure; `window` is the one whose beginning was told."""
    parts, count, not_numbers = columns
    exact = tuple(None if part is None else Decimal(part) for part in parts)
    return settled(operation, exact, count, not_numbers, window)


def unique_text(text: str) -> str:
    """Give the text by which a unique value is known here, of what `metering.aggregation.distinct_text` gives."""
    return Expressions.encoded(text)


def matched_by(aggregator: Aggregator, expressions: Expressions, *, one_type: bool) -> str:
    """Give the condition of a row that counts; where all rows are of the aggregator's type, its filter alone."""
    where = aggregator.where
    if one_type:
        return (
            expressions.named("matched", repr(where), lambda: expressions.condition(where)) if where.conditions else "1"
        )

    def of_type() -> str:
        return f"(event_type = {expressions.bind('String', aggregator.entity)} AND {expressions.condition(where)})"

    # By how it reads: true, "1" and 1 are equal, and not the same condition.
    return expressions.named("matched", (aggregator.entity, repr(where)), of_type)


def value(aggregator: Aggregator, expressions: Expressions) -> str:
    """Give the expression of the number that a row is worth, NULL for none."""
    if aggregator.formula is not None:
        return worth(aggregator.formula, expressions)
    assert aggregator.property is not None
    return expressions.number(aggregator.property)


def told_apart(aggregator: Aggregator, expressions: Expressions) -> str:
    """Give what a row is worth, or by which text its value is unique."""
    if aggregator.operation not in NEEDS_PROPERTY:
        return ""
    if aggregator.operation is not Operation.UNIQUE:
        return value(aggregator, expressions)
    if aggregator.formula is not None:
        return f"toString({worth(aggregator.formula, expressions)})"
    assert aggregator.property is not None
    return expressions.distinct(aggregator.property)


def weight(aggregator: Aggregator) -> int:
    """Tell how much of a statement an aggregator takes: 1 for a property, more for a formula."""
    return 1 if aggregator.formula is None else 1 + aggregator.formula.size // 3
