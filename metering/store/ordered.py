"""Read the events of one figure in their order, from any place on, with what was counted before that place.

So a page in the middle of a million events costs a search for its place and one figure, not a walk through all before
it: rows and figures are worked out where they lie, and memory here is that of a page. Of unique values too: whether an
event is the first of its value is asked of the store, for the values of the page. Calls block.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, IntFlag
from typing import Any, NamedTuple

from metering.aggregation import READS_EARLIER, Aggregator, Operation, Usage, no_usage
from metering.decimals import plain
from metering.filters import Filter
from metering.position import POSITIONS_MAX
from metering.store.client import Store
from metering.store.current import CURRENT_SETTINGS
from metering.store.explorer import EVENT_COLUMNS, StoredEvent, stored_event
from metering.store.expressions import Expressions
from metering.store.measures import figure, figure_columns, told_apart
from metering.store.usage import Scope, first_group, told_of
from metering.timestamps import EARLIEST_US

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
  AND {until_place}
GROUP BY group_index
{settings}
"""

# Of the values that stand between two places, where each first came in, if that is there too. Values are told apart by
# 128 bits, as the figure itself does.
_FIRSTS = """
{with_clause}
SELECT argMin(position, (timestamp, position)) AS first
{current}
  AND {counts}
  AND {value} IS NOT NULL
  AND {until_place}
  AND sipHash128({group}, {value}) IN (
      {with_clause}
      SELECT sipHash128({group}, {value})
      {current}
        AND {counts}
        AND {behind}
        AND {until_place})
GROUP BY sipHash128({group}, {value})
HAVING min((timestamp, position)) > {after}
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
    """One event of a figure, the group that it belongs to, and the number that it brings (`aggregation.Brought`)."""

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
        """Give the figure of each group over the events up to a place, that one included; None is before the first.

        What was before the scope is in it where the operation reads that.
        """
        operation, start_us = self.aggregator.operation, self.scope.start_us
        earlier = operation in READS_EARLIER
        usages = [no_usage(operation)] * len(self.groups)
        if place is None:
            if not earlier or start_us is None:
                return usages
            place = Place(start_us - 1, POSITIONS_MAX - 1)
        expressions = Expressions()
        matched = expressions.condition(self.aggregator.where)
        figures = figure_columns(self.aggregator, matched, expressions, told_of(self.scope, expressions))
        until = self._until(place, expressions)
        rows = self._select(_UNTIL, expressions, {}, until=place, earlier=earlier, figures=figures, until_place=until)
        for index, *columns in rows:
            usages[index] = figure(operation, columns, self.scope.window)
        return usages

    def page(self, after: Place | None, take: int) -> list[CountedEvent]:
        """Give the next events behind a place; None begins with the first."""
        expressions = Expressions()
        number = self._number(expressions)
        behind = self._behind(after, expressions)
        rows = self._select(
            _PAGE, expressions, {"take": take}, since=after, columns=EVENT_COLUMNS, value=number, behind=behind
        )
        world = self.scope.world
        events = [CountedEvent(stored_event(world, row), int(group), _exact(number)) for *row, group, number in rows]
        if events and self.aggregator.operation is Operation.UNIQUE:
            firsts = self._firsts(after, self.place_at(events[-1]))
            events = [_as_first(one, is_first=one.event.position in firsts) for one in events]
        return events

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

    def _firsts(self, after: Place | None, last: Place) -> set[int]:
        """Give the positions of the events behind one place and up to another that are the first of their value."""
        assert self.order is Order.ARRIVAL
        expressions = Expressions()
        beginning = Place(EARLIEST_US - 1, 0) if after is None else after
        rows = self._select(
            _FIRSTS,
            expressions,
            {},
            until=last,
            value=told_apart(self.aggregator, expressions),
            behind=self._behind(after, expressions),
            after=self._shown(beginning, expressions),
            until_place=self._until(last, expressions),
        )
        return {position for (position,) in rows}

    def _number(self, expressions: Expressions) -> str:
        """Give the expression of the number that a row brings, as text; of unique values, of whether it has one."""
        operation = self.aggregator.operation
        if operation is Operation.COUNT:
            return "'1'"
        found = told_apart(self.aggregator, expressions)
        return f"if({found} IS NULL, NULL, '1')" if operation is Operation.UNIQUE else f"toString({found})"

    def _behind(self, place: Place | None, expressions: Expressions) -> str:
        if place is None:
            return "1"
        # The instant alone is what the primary key is searched by.
        shown = self._shown(place, expressions)
        return f"timestamp >= {shown}.1 AND (timestamp, {self.order.value}) > {shown}"

    def _until(self, place: Place, expressions: Expressions) -> str:
        return f"(timestamp, {self.order.value}) <= {self._shown(place, expressions)}"

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
        *,
        earlier: bool = False,
        **parts: str,
    ) -> Sequence[Sequence[Any]]:
        """Ask about the line's events; those before `since` and beyond `until` need not be looked at.

        On demand those before the scope are among them.
        """
        scope = self.scope
        if since is not None:
            scope = replace(scope, start_us=since.timestamp_us)
        if until is not None:
            scope = replace(scope, end_us=until.timestamp_us + 1)
        group = first_group(self.groups, expressions)
        matched = expressions.condition(self.aggregator.where)
        selection = scope.of(self.aggregator.entity, earlier=earlier)
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


def _as_first(one: CountedEvent, *, is_first: bool) -> CountedEvent:
    """Say of an event whether it is the first of its value; one that has none stays without."""
    return one if one.value is None else replace(one, value=Decimal(is_first))


def _exact(number: str | None) -> Decimal | None:
    return None if number is None else Decimal(plain(Decimal(number)))
