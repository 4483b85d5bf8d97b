"""What is counted: an aggregator turns the current events of one type into a quantity.

One more way to count is one more `Operation`, its entry in `total_of` here and its entry in
`metering.store.measures`, where the same is said in SQL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from metering.decimals import EXACT
from metering.filters import EVERYTHING, Filter, matches, number_of, text_of


class Operation(StrEnum):
    """How the matching events become one number."""

    COUNT = "count"
    SUM = "sum"


NEEDS_PROPERTY = frozenset({Operation.SUM})


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Which events count, and how. `property` is None where the operation needs none."""

    entity: str
    """The event type."""
    operation: Operation
    property: str | None = None
    where: Filter = EVERYTHING

    def __post_init__(self) -> None:
        assert self.property or self.operation not in NEEDS_PROPERTY


@dataclass(frozen=True, slots=True)
class Usage:
    """A figure: the total, how many events matched, and how many of these held no number where one was wanted.

    A value that is no number adds nothing to a sum; the last count lets people see that it happened.
    """

    total: Decimal
    count: int
    not_numbers: int = 0


NO_USAGE = Usage(Decimal(0), 0, 0)


def total_of(aggregator: Aggregator, records: Iterable[Mapping[str, Any]]) -> Usage:
    """Count decoded records (ids included) in memory, as the store counts them: for previews, and to test the store."""
    matched = [record for record in records if matches(aggregator.where, record)]
    if aggregator.operation is Operation.COUNT:
        return Usage(Decimal(len(matched)), len(matched))
    numbers = [value_of(record, aggregator.property) for record in matched]
    total = Decimal(0)
    for number in numbers:
        total = EXACT.add(total, number or Decimal(0))
    return Usage(total, len(matched), numbers.count(None))


def value_of(record: Mapping[str, Any], name: str | None) -> Decimal | None:
    """Give the number that a record adds to a sum, None for what is no number. `id` is the record's id, as text."""
    assert name is not None
    return number_of(text_of(record[name]) if name == "id" else record.get(name))
