"""Read the events of one figure in their order, from any place on, with what was counted before that place.

So a page in the middle of a million events costs a search for its place and one sum, not a walk through all before it:
rows and totals are worked out where they lie, and memory here is that of a page. Calls block.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, IntFlag
from typing import Any, NamedTuple

from metering.aggregation import NEEDS_PROPERTY, Aggregator, Usage, no_usage
from metering.decimals import plain
from metering.filters import Filter
from metering.store.client import Store
from metering.store.current import CURRENT_SETTINGS
from metering.store.explorer import EVENT_COLUMNS, StoredEvent, stored_event
from metering.store.expressions import Expressions
from metering.store.measures import figure, figure_columns, value
from metering.store.usage import Scope, first_group

PAGE = 20_000
"""So many events are read at once where all are wanted."""

# What kinds of JSON values each property has; null is of none.
_KINDS_OF = """
{with_clause}
SELECT
    (arrayJoin(JSONExtractKeysAndValuesRaw(properties)) AS property).1 AS name,
    groupBitOr(multiIf(startsWith(property.2, '"'), {text}, startsWith(property.2, '['), {array},
                       property.2 IN ('true', 'false'), {boolean}, property.2 = 'null', 0, {number}))
{current}
  AND {counts}
GROUP BY name
ORDER BY name
LIMIT {{most:UInt64}}
{settings}
"""

_PLACE = """
{with_clause}
SELECT toUnixTimestamp64Micro(timestamp), {tie}
{current}
  AND {counts}
ORDER BY timestamp, {tie}
LIMIT 1 OFFSET {{offset:UInt64}}
{settings}
"""

_UNTIL = """
{with_clause}
SELECT {group} AS group_index, {figures}
{current}
  AND {counts}
  AND (timestamp, {tie}) <= {place}
GROUP BY group_index
{settings}
"""

_PAGE = """
{with_clause}
SELECT {columns}, {group}, {value}
{current}
  AND {counts}
  AND {behind}
ORDER BY timestamp, {tie}
LIMIT {{take:UInt64}}
{settings}
"""


class Order(Enum):
    """What stands second, after the timestamp: when an event arrived, or its record id."""

    ARRIVAL = "position"
    RECORD_ID = "record_id"


class Kind(IntFlag):
    """What a property's values are, all of them together."""

    NULL = 0
    TEXT = 1
    BOOLEAN = 2
    ARRAY = 4
    NUMBER = 8


_KINDS = {Order.ARRIVAL: "UInt64", Order.RECORD_ID: "String"}


class Place(NamedTuple):
    """Where an event stands in an order: its timestamp, and its position or record id."""

    timestamp_us: int
    tie: int | str


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """One event of a figure: the group that it belongs to, and the number it brings; None is no number."""

    event: StoredEvent
    group: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderedEvents:
    """The events that a figure is made from: those of a scope that match, and that one of the groups takes."""

    store: Store
    scope: Scope
    aggregator: Aggregator
    groups: Sequence[Filter]
    order: Order = Order.ARRIVAL

    def place_of(self, index: int) -> Place | None:
        """Give the place of the event at an index, counted from 0; None when there are not so many."""
        rows = self._select(_PLACE, Expressions(), {"offset": index})
        return Place(*rows[0]) if rows else None

    def counted_until(self, place: Place | None) -> list[Usage]:
        """Give the figure of each group over the events up to a place, that one included; None is before the first."""
        usages = [no_usage(self.aggregator.operation)] * len(self.groups)
        if place is None:
            return usages
        expressions = Expressions()
        figures = figure_columns(self.aggregator, expressions.condition(self.aggregator.where), expressions)
        shown = self._shown(place, expressions)
        for index, *columns in self._select(_UNTIL, expressions, {}, until=place, figures=figures, place=shown):
            usages[index] = figure(self.aggregator.operation, columns)
        return usages

    def page(self, after: Place | None, take: int) -> list[CountedEvent]:
        """Give the next events behind a place; None begins with the first."""
        expressions = Expressions()
        number = "NULL"
        if self.aggregator.operation in NEEDS_PROPERTY:
            number = f"toString({value(self.aggregator, expressions)})"
        behind = "1" if after is None else f"(timestamp, {self.order.value}) > {self._shown(after, expressions)}"
        rows = self._select(
            _PAGE, expressions, {"take": take}, since=after, columns=EVENT_COLUMNS, value=number, behind=behind
        )
        world = self.scope.world
        return [CountedEvent(stored_event(world, row), int(group), _number(number)) for *row, group, number in rows]

    def pages(self, after: Place | None = None) -> Iterator[list[CountedEvent]]:
        """Yield all that comes behind a place, page by page; each is read when it is asked for."""
        while page := self.page(after, PAGE):
            yield page
            if len(page) < PAGE:
                return
            after = self.place_at(page[-1])

    def properties(self, most: int) -> dict[str, Kind]:
        """Give the properties that the events have, at most so many, by name, and what their values are."""
        rows = self._select(
            _KINDS_OF,
            Expressions(),
            {"most": most},
            text=str(Kind.TEXT.value),
            boolean=str(Kind.BOOLEAN.value),
            array=str(Kind.ARRAY.value),
            number=str(Kind.NUMBER.value),
        )
        return {name: Kind(kinds) for name, kinds in rows}

    def place_at(self, counted: CountedEvent) -> Place:
        """Give the place of an event that was read."""
        event = counted.event
        return Place(event.timestamp_us, event.position if self.order is Order.ARRIVAL else event.record_id)

    def _shown(self, place: Place, expressions: Expressions) -> str:
        """Give a place as SQL."""
        instant = f"fromUnixTimestamp64Micro({expressions.bind('Int64', place.timestamp_us)}, 'UTC')"
        return f"({instant}, {expressions.bind(_KINDS[self.order], place.tie)})"

    def _select(
        self,
        statement: str,
        expressions: Expressions,
        parameters: Mapping[str, Any],
        since: Place | None = None,
        until: Place | None = None,
        **parts: str,
    ) -> Sequence[Sequence[Any]]:
        """Ask about the line's events; those before `since` and beyond `until` need not be looked at."""
        scope = self.scope
        if since is not None:
            scope = replace(scope, start_us=since.timestamp_us)
        if until is not None:
            scope = replace(scope, end_us=until.timestamp_us + 1)
        group = first_group(self.groups, expressions)
        matched = expressions.condition(self.aggregator.where)
        selection = scope.of(self.aggregator.entity)
        sql = statement.format(
            tie=self.order.value,
            group=group,
            counts=f"{matched} AND ({group}) >= 0",
            with_clause=expressions.clause(),
            current=selection.current(),
            settings=CURRENT_SETTINGS,
            **parts,
        )
        return self.store.select(sql, {**selection.parameters(), **expressions.parameters, **parameters})


def _number(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(plain(Decimal(value)))
