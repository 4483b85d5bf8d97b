"""What is counted: an aggregator turns the current events of one type into a quantity.

One more way to count is one more `Operation`, what it makes of its parts here, and its parts in
`metering.store.measures`, in SQL. The store gathers exact parts; what has to be divided is divided here, once.

A value that is no number (text that is none, null, a boolean, an array, nothing at all) adds nothing: to a sum, a
weighted sum and an average, and it is never the greatest, the least or the latest. `Usage.not_numbers` says how many
there were. `unique` takes texts, numbers and booleans by their text: 5 and "5" are one value, true and "true" are, the
texts "1.10" and "1.1" are two; null, arrays and absent values are none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from metering.decimals import EXACT, plain, quotient
from metering.filters import EVERYTHING, Filter, matches, number_of, text_of
from metering.formulas import Formula, evaluate
from metering.position import POSITIONS_MAX
from metering.timestamps import EARLIEST_US, LATEST_US
from metering.windows import Window


class Operation(StrEnum):
    """How the matching events become one number."""

    COUNT = "count"
    SUM = "sum"
    MAX = "max"
    MIN = "min"
    AVERAGE = "average"
    """18 decimals, half away from zero."""
    LATEST = "latest"
    """The value with the greatest timestamp; of equal ones that which came in last, by its position."""
    UNIQUE = "unique"
    """How many values there are, equal ones once."""
    WEIGHTED_SUM = "weighted_sum"
    """Values are changes of a level. Each weighs the share of the window that comes after it, an earlier one 1: the
    level's average over time, at 18 decimals, half away from zero. Over all time it is the level at the end."""


NEEDS_PROPERTY = frozenset(Operation) - {Operation.COUNT}
ADDS_UP = frozenset({Operation.COUNT, Operation.SUM})
"""The total of all events is the sum of what each is worth, so events and customers can be taken one by one."""
WHOLE = frozenset({Operation.COUNT, Operation.UNIQUE})
"""The total is a whole number."""
READS_EARLIER = frozenset({Operation.WEIGHTED_SUM})
"""Events before the window are part of its figure."""
_NULL_OF_NOTHING = frozenset({Operation.MAX, Operation.MIN, Operation.AVERAGE, Operation.LATEST})
_ZERO, _ONE = Decimal(0), Decimal(1)
ALL_TIME = Window(EARLIEST_US, LATEST_US)
"""All that events may be of."""
AFTER_ALL = POSITIONS_MAX
"""The position of an event that has none yet: it will come in after all that there are."""


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Which events count, and how. `property` is None where the operation needs none, or there is a formula."""

    entity: str
    """The event type."""
    operation: Operation
    property: str | None = None
    where: Filter = EVERYTHING
    formula: Formula | None = None
    """What an event is worth, in place of a property's value."""

    def __post_init__(self) -> None:
        assert self.property or self.formula or self.operation not in NEEDS_PROPERTY


Parts = tuple[Decimal | None, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """A figure: the total, how many events matched, and how many of these held no number where one was wanted.

    The total is None where there is nothing to take a maximum, minimum, average or latest of. Events before the window
    are not in `count`. `parts` is what the total was made from, so that one more event can be added.
    """

    total: Decimal | None
    count: int
    not_numbers: int = 0
    parts: Parts = field(default=(), compare=False, repr=False)

    @property
    def rated(self) -> Decimal:
        """What is charged for: no total is 0."""
        return _ZERO if self.total is None else self.total

    @property
    def is_nothing(self) -> bool:
        """Tell whether no event has any part in it."""
        return not self.count and not self.rated


class Occurrence(NamedTuple):
    """A decoded record (its id included), when it happened, and where it came in."""

    record: Mapping[str, Any]
    timestamp_us: int = 0
    position: int = 0


class Brought(NamedTuple):
    """What one event brings to a figure, when it happened, and where it came in.

    `number` is 1 for a counted event; for unique values 1 for the first event of its value, 0 for those after it; for
    all other operations what the event is worth. None is no number, and no value.
    """

    number: Decimal | None
    timestamp_us: int
    position: int


def no_usage(operation: Operation) -> Usage:
    """Give the figure of no events."""
    return Usage(None if operation in _NULL_OF_NOTHING else _ZERO, 0)


def settled(operation: Operation, parts: Parts, count: int, not_numbers: int, window: Window | None = None) -> Usage:
    """Make a figure of the parts that were gathered; a weighted sum without a window is the level at the end.

    The parts are, of a count and a sum: the total; of a maximum and a minimum: the value; of an average: the sum; of
    the latest: the value, its timestamp and its position; of unique values: their number, and how often one more is
    among them; of a weighted sum: the changes before the window, those in it, and the sum of these times their
    timestamps.
    """
    first = parts[0]
    if operation is Operation.AVERAGE:
        total = None if count == not_numbers else quotient(first or _ZERO, count - not_numbers)
    elif operation is Operation.WEIGHTED_SUM:
        total = _weighted(parts, window)
    else:
        total = _ZERO if first is None and operation not in _NULL_OF_NOTHING else first
    return Usage(None if total is None else Decimal(plain(total)), count, not_numbers, parts)


def plus(aggregator: Aggregator, usage: Usage, event: Occurrence, window: Window | None) -> Usage:
    """Add an event that matches and lies in the window to a figure of the same window.

    `usage` is one that the store read, or `no_usage`; for unique values it was told of the value (`measures`).
    """
    if aggregator.operation is Operation.COUNT:
        number: Decimal | None = _ONE
    elif aggregator.operation is Operation.UNIQUE:
        parts = usage.parts or _NO_PARTS[Operation.UNIQUE]
        number = None if distinct_text(event.record, aggregator) is None else _ZERO if parts[1] else _ONE
    else:
        number = value_of(event.record, aggregator)
    return grown(aggregator.operation, usage, Brought(number, event.timestamp_us, event.position), window)


def grown(operation: Operation, usage: Usage, event: Brought, window: Window | None) -> Usage:
    """Add what an event of the window brings to a figure of it, one that the store read or `no_usage`."""
    parts = usage.parts or _NO_PARTS[operation]
    if event.number is None:
        return settled(operation, parts, usage.count + 1, usage.not_numbers + 1, window)
    return settled(operation, _with(operation, parts, event.number, event), usage.count + 1, usage.not_numbers, window)


def together(one: Usage, other: Usage) -> Usage:
    """Put the figures of two parts of what is counted together: of an operation that adds up."""
    if other.is_nothing:
        return one
    return Usage(EXACT.add(one.rated, other.rated), one.count + other.count, one.not_numbers + other.not_numbers)


def total_of(aggregator: Aggregator, events: Iterable[Occurrence], window: Window | None = None) -> Usage:
    """Count decoded events in memory, as the store counts them: for previews, and to test the store.

    The events lie in the window, or before it where the operation reads these.
    """
    matched = [event for event in events if matches(aggregator.where, event.record)]
    if aggregator.operation is Operation.COUNT:
        return Usage(Decimal(len(matched)), len(matched))
    if aggregator.operation is Operation.UNIQUE:
        texts = [distinct_text(event.record, aggregator) for event in matched]
        return Usage(Decimal(len(set(texts) - {None})), len(matched), texts.count(None))
    found = [(event, value_of(event.record, aggregator)) for event in matched]
    numbers = [(event, number) for event, number in found if number is not None]
    inside = [number for event, number in found if window is None or event.timestamp_us >= window.start_us]
    return Usage(_total(aggregator.operation, numbers, window), len(inside), inside.count(None))


def value_of(record: Mapping[str, Any], aggregator: Aggregator) -> Decimal | None:
    """Give the number that a record adds to a sum, None for what is no number. `id` is the record's id, as text."""
    if aggregator.formula is not None:
        return evaluate(aggregator.formula, record)
    name = aggregator.property
    assert name is not None
    return number_of(text_of(record[name]) if name == "id" else record.get(name))


def distinct_text(record: Mapping[str, Any], aggregator: Aggregator) -> str | None:
    """Give the text that tells a record's value from others; None for null, an array and what is absent."""
    if aggregator.formula is not None:
        number = evaluate(aggregator.formula, record)
        return None if number is None else plain(number)
    assert aggregator.property is not None
    value = record.get(aggregator.property)
    return None if value is None or isinstance(value, list | tuple) else text_of(value)


_NO_PARTS: Mapping[Operation, Parts] = {
    **dict.fromkeys(Operation, (None,)),
    Operation.LATEST: (None, None, None),
    Operation.UNIQUE: (_ZERO, _ZERO),
    Operation.WEIGHTED_SUM: (_ZERO, _ZERO, _ZERO),
}


def _with(operation: Operation, parts: Parts, value: Decimal, event: Brought) -> Parts:
    first = parts[0]
    if operation is Operation.MAX:
        return (value if first is None else max(first, value),)
    if operation is Operation.MIN:
        return (value if first is None else min(first, value),)
    if operation is Operation.LATEST:
        _, instant, position = parts
        place = Decimal(event.timestamp_us), Decimal(event.position)
        return (value, *place) if instant is None or position is None or place > (instant, position) else parts
    if operation is Operation.UNIQUE:
        return (EXACT.add(first or _ZERO, value), parts[1])
    if operation is Operation.WEIGHTED_SUM:
        _, within, moments = parts
        moment = EXACT.multiply(value, event.timestamp_us)
        return first, EXACT.add(within or _ZERO, value), EXACT.add(moments or _ZERO, moment)
    return (EXACT.add(first or _ZERO, value),)


def _weighted(parts: Parts, window: Window | None) -> Decimal:
    before, within, moments = (part or _ZERO for part in parts)
    if window is None or window == ALL_TIME or window.end_us <= window.start_us:
        return EXACT.add(before, within)
    length = window.end_us - window.start_us
    after = EXACT.subtract(EXACT.multiply(within, window.end_us), moments)
    return quotient(EXACT.add(EXACT.multiply(before, length), after), length)


def _total(
    operation: Operation, numbers: Sequence[tuple[Occurrence, Decimal]], window: Window | None
) -> Decimal | None:
    if operation is Operation.WEIGHTED_SUM:
        return _level(numbers, window)
    if operation is Operation.SUM:
        return _sum(number for _, number in numbers)
    if not numbers:
        return None
    if operation is Operation.AVERAGE:
        return quotient(_sum(number for _, number in numbers), len(numbers))
    if operation is Operation.LATEST:
        return max(numbers, key=lambda one: (one[0].timestamp_us, one[0].position))[1]
    choose = max if operation is Operation.MAX else min
    return choose(number for _, number in numbers)


def _level(numbers: Sequence[tuple[Occurrence, Decimal]], window: Window | None) -> Decimal:
    if window is None or window == ALL_TIME:
        return _sum(number for _, number in numbers)
    length = window.end_us - window.start_us
    weights = [(number, min(length, window.end_us - event.timestamp_us)) for event, number in numbers]
    return quotient(_sum(EXACT.multiply(number, weight) for number, weight in weights), length)


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    total = _ZERO
    for number in numbers:
        total = EXACT.add(total, number)
    return total
