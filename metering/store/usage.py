"""Read figures from the store: totals, series, customers and groups, each event once, as of a cut-off.

Every question is one statement over the current versions (`metering.store.current`), asked again where a replay wrote
some of them twice (`metering.store.once`): what is filtered and added up is worked out where the rows are, and only
figures travel. Calls block; async callers go through `Store.run`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from metering.aggregation import READS_EARLIER, Aggregator, Usage, no_usage
from metering.decimals import plain
from metering.filters import Filter
from metering.position import Cutoff
from metering.store.client import Store
from metering.store.current import CURRENT_SETTINGS, Selection
from metering.store.expressions import Expressions
from metering.store.levels import levels
from metering.store.measures import COLUMNS, Told, figure, figure_columns, matched_by, value, weight
from metering.store.once import ONCE, select_once
from metering.windows import Window
from metering.world import World

AGGREGATORS_MAX = 40
"""So many figures are read in one statement, fewer with formulas; more take several."""
VALUES_PAGE = 50_000
VALUES_GROUPED_MAX = 20_000
"""Usage is not grouped by a property that has more values."""
OWNERS_MAX = 2_000
"""The figures of so many customers who have several ids are read in one statement."""

_BEFORE = -1
"""The key of what lies before the first window of a series."""

_TOTALS = """
SELECT {figures}, {once}
{counted}
"""

_BY_KEY = """
SELECT {key} AS key, {figures}, {once}
{counted}
GROUP BY key
"""

_BY_CUSTOMER_AND_GROUP = """
SELECT customer_id, {key} AS key, {figures}, {once}
{counted}
GROUP BY customer_id, key
"""

_BY_PROPERTY = """
SELECT {key} AS key, {figures}, {once}
{counted}
WHERE {matched}
GROUP BY key
ORDER BY key
LIMIT {{most:UInt64}}
"""

_VALUES = """
{with_clause}
SELECT toUnixTimestamp64Micro(timestamp) AS timestamp_us, record_id, toString({number}) AS value
{current}
  AND {matched}
  AND (timestamp, record_id) > (fromUnixTimestamp64Micro({{after_us:Int64}}, 'UTC'), {{after_id:String}})
ORDER BY timestamp, record_id
LIMIT {{page:UInt64}}
{settings}
"""

_SPANS = """
SELECT toString(event_type), toUnixTimestamp64Micro(min(timestamp)), toUnixTimestamp64Micro(max(timestamp)), count()
{current}
GROUP BY event_type
ORDER BY event_type
{settings}
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose usage, of when, as of when.

    `customer_ids` are all ids that events may name the customer by, ours and external; None is every customer. The
    range is `[start_us, end_us)`, microseconds since 1970 UTC; None is without bound. Events with `but_record_id` are
    left out.
    """

    world: World
    cutoff: Cutoff
    start_us: int | None = None
    end_us: int | None = None
    customer_ids: Sequence[str] | None = None
    but_record_id: str | None = None

    @property
    def window(self) -> Window | None:
        """The range as a window, None when it is open at an end."""
        return None if self.start_us is None or self.end_us is None else Window(self.start_us, self.end_us)

    def of(self, *event_types: str, earlier: bool = False) -> Selection:
        """Select the events of some types within the scope; on demand those before it too."""
        return Selection(
            self.world,
            self.cutoff,
            event_types,
            self.customer_ids,
            start_us=None if earlier else self.start_us,
            end_us=self.end_us,
            but_record_id=self.but_record_id,
        )


class PlacedValue(NamedTuple):
    """What an event is worth, and its place among those of its customer."""

    timestamp_us: int
    record_id: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Span:
    """The first and the last timestamp of a type's current events, inclusive, and how many there are."""

    event_type: str
    first_us: int
    last_us: int
    count: int


class UsageReader:
    """Usage, read from the store; threads and tasks may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def total(self, scope: Scope, aggregator: Aggregator) -> Usage:
        """Give one aggregator's figure."""
        return self.totals(scope, [aggregator])[0]

    def totals(self, scope: Scope, aggregators: Sequence[Aggregator]) -> list[Usage]:
        """Give each aggregator's figure, in order, zeros included.

        Those that read events before the range are asked apart, so that the others need not read these.
        """
        found: dict[int, Usage] = {}
        for earlier in (False, True):
            asked = [at for at, each in enumerate(aggregators) if (each.operation in READS_EARLIER) is earlier]
            for part in _parts(asked, [weight(each) for each in aggregators]):
                figures = self._totals(scope, [aggregators[at] for at in part], earlier=earlier)
                found.update(zip(part, figures, strict=True))
        return [found[at] for at in range(len(aggregators))]

    def timeseries(self, scope: Scope, aggregator: Aggregator, edges: Sequence[int]) -> list[Usage]:
        """Give the figure of each window `[edges[i], edges[i + 1])`, ascending, zeros included.

        `edges` are instants as `metering.windows.boundaries` gives them; they take the place of the scope's range.
        """
        assert len(edges) >= 2
        within = replace(scope, start_us=edges[0], end_us=edges[-1])
        expressions = Expressions()
        earlier = aggregator.operation in READS_EARLIER
        starts = list(edges[:-1])
        bound = expressions.bind("Array(Int64)", [_BEFORE, *starts] if earlier else starts)
        key = f"roundDown(toUnixTimestamp64Micro(timestamp), {bound})"
        found = self._by(within, aggregator, key, expressions)
        if earlier:
            return levels(found, edges, before=_BEFORE)
        return [found.get(start, no_usage(aggregator.operation)) for start in starts]

    def by_customer(self, scope: Scope, aggregator: Aggregator) -> dict[str, Usage]:
        """Give the figure of each customer id as events name it; those without a part in it are left out."""
        return self._by(scope, aggregator, "customer_id", Expressions())

    def by_property(self, scope: Scope, aggregator: Aggregator, prop: str) -> dict[str | None, Usage] | None:
        """Give the figure of each value that a property has, as text; None is the key of events that have none.

        What tells values apart is what `unique` counts: 5 and "5" are one, null and arrays are none. The answer is None
        where there are more than `VALUES_GROUPED_MAX`.
        """
        expressions = Expressions()
        expressions.parameters["most"] = VALUES_GROUPED_MAX + 1
        key = expressions.distinct(prop)
        matched = matched_by(aggregator, expressions, one_type=True)
        figures = figure_columns(aggregator, matched, expressions, told_of(scope, expressions))
        selection = scope.of(aggregator.entity, earlier=aggregator.operation in READS_EARLIER)
        rows = self._select(_BY_PROPERTY, selection, expressions, key=key, figures=figures, matched=matched)
        if len(rows) > VALUES_GROUPED_MAX:
            return None
        # The id is a column of its own, as it reads; of the others the store knows the text inside the JSON quotes.
        read = _as_it_is if prop == "id" else _text_of_json
        found = {read(text): figure(aggregator.operation, columns, scope.window) for text, *columns in rows}
        return {value: usage for value, usage in found.items() if not usage.is_nothing}

    def by_owner(
        self, scope: Scope, aggregator: Aggregator, identifiers: Mapping[str, Sequence[str]]
    ) -> dict[str, Usage]:
        """Give the figure of each owner of customer ids, all ids of an owner together; `identifiers` are by owner.

        Not every operation lets the figures of a customer's ids be put together.
        """
        found: dict[str, Usage] = {}
        owners = sorted(identifiers)
        for start in range(0, len(owners), OWNERS_MAX):
            pairs = [(one, owner) for owner in owners[start : start + OWNERS_MAX] for one in identifiers[owner]]
            ids, theirs = [one for one, _ in pairs], [owner for _, owner in pairs]
            expressions = Expressions()
            bound = ", ".join(expressions.bind("Array(String)", names) for names in (ids, theirs))
            key = f"transform(customer_id, {bound}, '')"
            found |= self._by(replace(scope, customer_ids=ids), aggregator, key, expressions)
        return found

    def by_group(self, scope: Scope, aggregator: Aggregator, groups: Sequence[Filter]) -> list[Usage]:
        """Give the figure of each group, in order: an event belongs to the first whose filter it meets.

        A group without conditions takes what is left, wherever it stands; what no group takes is not counted.
        """
        expressions = Expressions()
        found = self._by(scope, aggregator, first_group(groups, expressions), expressions)
        return [found.get(index, no_usage(aggregator.operation)) for index in range(len(groups))]

    def by_customer_and_group(
        self, scope: Scope, aggregator: Aggregator, groups: Sequence[Filter]
    ) -> dict[str, list[Usage]]:
        """Give `by_group` for each customer id as events name it, at once."""
        expressions = Expressions()
        key = first_group(groups, expressions)
        nothing = [no_usage(aggregator.operation)] * len(groups)
        out: dict[str, list[Usage]] = {}
        for customer_id, index, *columns in self._rows(_BY_CUSTOMER_AND_GROUP, scope, aggregator, key, expressions):
            if 0 <= index < len(groups):
                usage = figure(aggregator.operation, columns, scope.window)
                out.setdefault(customer_id, list(nothing))[index] = usage
        return out

    def values(self, scope: Scope, aggregator: Aggregator) -> Iterator[Decimal]:
        """Yield the aggregator's value of each matching event, by timestamp, then record id; no number is 0.

        Read page by page as it is consumed, all at the scope's cut-off.
        """
        return (one.value for one in self.placed_values(scope, aggregator))

    def placed_values(self, scope: Scope, aggregator: Aggregator) -> Iterator[PlacedValue]:
        """Yield as `values` does, each with its place in the order."""
        after_us, after_id = -1, ""
        while True:
            expressions = Expressions()
            number = value(aggregator, expressions)
            matched = expressions.condition(aggregator.where)
            position = {"after_us": after_us, "after_id": after_id, "page": VALUES_PAGE}
            expressions.parameters.update(position)
            selection = scope.of(aggregator.entity)
            sql = _VALUES.format(
                with_clause=expressions.clause(),
                number=number,
                current=selection.current(),
                matched=matched,
                settings=CURRENT_SETTINGS,
            )
            rows = self._store.select(sql, {**selection.parameters(), **expressions.parameters})
            for timestamp_us, record_id, number in rows:
                yield PlacedValue(timestamp_us, record_id, Decimal(plain(Decimal(number or "0"))))
            if len(rows) < VALUES_PAGE:
                return
            after_us, after_id = rows[-1][:2]

    def spans(self, world: World, cutoff: Cutoff) -> list[Span]:
        """Give where in time each event type has current events, by name: for pages that open where the data is."""
        selection = Selection(world, cutoff)  # All of a world: their positions at once would take much memory.
        sql = _SPANS.format(current=selection.current(), settings=CURRENT_SETTINGS)
        return [Span(*row) for row in self._store.select(sql, selection.parameters())]

    def _totals(self, scope: Scope, aggregators: Sequence[Aggregator], *, earlier: bool) -> list[Usage]:
        entities = sorted({aggregator.entity for aggregator in aggregators})
        expressions = Expressions()
        told = told_of(scope, expressions)
        figures = [
            figure_columns(each, matched_by(each, expressions, one_type=len(entities) == 1), expressions, told)
            for each in aggregators
        ]
        selection = scope.of(*entities, earlier=earlier)
        rows = self._select(_TOTALS, selection, expressions, figures=", ".join(figures))
        if not rows:
            return [no_usage(each.operation) for each in aggregators]
        columns = [rows[0][at : at + COLUMNS] for at in range(0, len(rows[0]), COLUMNS)]
        return [figure(each.operation, found, scope.window) for each, found in zip(aggregators, columns, strict=True)]

    def _by(self, scope: Scope, aggregator: Aggregator, key: str, expressions: Expressions) -> dict[Any, Usage]:
        rows = self._rows(_BY_KEY, scope, aggregator, key, expressions)
        found = {name: figure(aggregator.operation, columns, scope.window) for name, *columns in rows}
        return {name: usage for name, usage in found.items() if not usage.is_nothing}

    def _rows(
        self, statement: str, scope: Scope, aggregator: Aggregator, key: str, expressions: Expressions
    ) -> Sequence[Sequence[Any]]:
        matched = matched_by(aggregator, expressions, one_type=True)
        figures = figure_columns(aggregator, matched, expressions, told_of(scope, expressions))
        selection = scope.of(aggregator.entity, earlier=aggregator.operation in READS_EARLIER)
        return self._select(statement, selection, expressions, key=key, figures=figures)

    def _select(
        self, statement: str, selection: Selection, expressions: Expressions, **parts: str
    ) -> Sequence[Sequence[Any]]:
        def over(current: str) -> str:
            return statement.format(counted=expressions.over(current), once=ONCE, **parts)

        return select_once(self._store, over, selection, expressions.parameters)


def _parts(asked: Sequence[int], weights: Sequence[int]) -> Iterator[list[int]]:
    """Yield what is asked in one statement each, none of them empty."""
    part: list[int] = []
    for at in asked:
        if part and sum(weights[one] for one in part) + weights[at] > AGGREGATORS_MAX:
            yield part
            part = []
        part.append(at)
    if part:
        yield part


def _as_it_is(text: str | None) -> str | None:
    return text


def _text_of_json(text: str | None) -> str | None:
    return None if text is None else msgspec.json.decode(f'"{text}"', type=str)


def told_of(scope: Scope, expressions: Expressions) -> Told:
    """Say when the window of a scope begins."""
    return Told(None if scope.start_us is None else expressions.bind("Int64", scope.start_us))


def first_group(groups: Sequence[Filter], expressions: Expressions) -> str:
    """Give the index of the group a row belongs to, or -1."""
    filtered = [(index, where) for index, where in enumerate(groups) if where.conditions]
    rest = next((index for index, where in enumerate(groups) if not where.conditions), -1)
    if not filtered:
        return str(rest)
    branches = ", ".join(f"{expressions.condition(where)}, toInt32({index})" for index, where in filtered)
    return f"multiIf({branches}, toInt32({rest}))"
