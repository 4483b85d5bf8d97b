"""Read figures from rollups, and say exactly the same as the events do.

A figure at a cut-off is what the manifest's segments hold, plus what changed since the manifest's cut-off. Where a
range begins or ends within a slice, that slice is read from the events. Where each customer is told, whole UTC days are
read from rows of days. All of it is one statement, which also reads the seals: where one is missing, because somebody
dropped a segment, nothing of the answer is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from metering.aggregation import Operation, Usage
from metering.decimals import plain
from metering.position import Cutoff
from metering.store.changes import Changes
from metering.store.client import Store
from metering.store.current import MONTHS_APART, Selection
from metering.store.expressions import Expressions
from metering.store.rollups.definition import Definition
from metering.store.rollups.manifest import Manifest
from metering.store.rollups.parts import SLICE_US, parts_of
from metering.timestamps import DAY, EARLIEST_US, LATEST_US

CUT_SLICES_MAX = 4
"""A question whose windows begin within more slices than these is better read from the events."""

_ANSWER = """
SELECT seal, key, toString(sum(part.total)) AS total, sum(part.count) AS counted, sum(part.not_numbers) AS not_numbers,
       sum(part.changed) AS changed
FROM (
    SELECT {rollup_key} AS key, grain = 'seal' AS seal, total, count, not_numbers, toInt64(0) AS changed
    FROM rollups
    WHERE account_id = {{account_id:String}} AND mode = {{mode:String}} AND segment IN {{segments:Array(UInt64)}}
      AND (grain = 'seal' OR {grains})
    {more}
) AS part
GROUP BY seal, key
"""

_EXTENT = """
SELECT seal, minIf(key, counted != 0), maxIf(key, counted != 0), sum(counted), sum(changed)
FROM ({answer})
GROUP BY seal
{settings}
"""

_EVENTS = """
    UNION ALL
    {with_clause}
    SELECT {key} AS key, false AS seal, {parts}, toInt64({changed}) AS changed
    {rows}
      AND {which}
    GROUP BY key
"""


class By(StrEnum):
    """What a figure is told of: everybody, each customer, or each window or slice of everybody's."""

    NOTHING = "nothing"
    CUSTOMER = "customer"
    WINDOW = "window"
    SLICE = "slice"


@dataclass(frozen=True, slots=True)
class Question:
    """An aggregator of all customers at a cut-off. `edges` are ascending instants: one window between each two."""

    definition: Definition
    cutoff: Cutoff
    edges: Sequence[int]
    by: By = By.NOTHING

    @classmethod
    def of_range(
        cls, definition: Definition, cutoff: Cutoff, within: tuple[int | None, int | None], by: By
    ) -> "Question":
        """Ask about one range; None is without bound."""
        start_us, end_us = within
        edges = [EARLIEST_US if start_us is None else start_us, LATEST_US if end_us is None else end_us]
        return cls(definition, cutoff, edges, by)


class Answer(NamedTuple):
    """The figures by key (`""`, a customer's id, a window's start), and how many versions changed since the rollup."""

    figures: Mapping[Any, Usage]
    changed: int


class Extent(NamedTuple):
    """The starts of the first and the last slice with events, how many events there are, and how many changes."""

    first_us: int
    last_us: int
    events: int
    changed: int


def answer(store: Store, question: Question, manifest: Manifest) -> Answer | None:
    """Give the figures, those without an event left out; None when they cannot be had from this rollup.

    Raises:
        QueryLimitError: it took more time or memory than one question may.
        StoreUnavailableError: no answer.
    """
    statement = _statement(question, manifest)
    if statement is None:
        return None
    sql, parameters = statement
    figures: dict[Any, Usage] = {}
    sealed = changed = 0
    is_count = question.definition.aggregator.operation is Operation.COUNT
    for seal, name, total, count, not_numbers, of_changes in store.select(f"{sql}{MONTHS_APART}", parameters):
        changed += of_changes
        if seal:
            sealed = count
        elif count:
            value = Decimal(count) if is_count else Decimal(plain(Decimal(total)))
            figures[name] = Usage(value, count, not_numbers)
    return Answer(figures, changed) if sealed == _sealed(manifest) else None


def extent(store: Store, definition: Definition, cutoff: Cutoff, manifest: Manifest) -> Extent | None:
    """Give where in time the events of an aggregator lie that counts them; None as `answer` does."""
    statement = _statement(Question.of_range(definition, cutoff, (None, None), By.SLICE), manifest)
    if statement is None:
        return None
    sql, parameters = statement
    rows = store.select(_EXTENT.format(answer=sql, settings=MONTHS_APART), parameters)
    found = {bool(seal): (first_us, last_us, count) for seal, first_us, last_us, count, _ in rows}
    sealed = found.get(True, (0, 0, 0))[2]
    changed = sum(row[-1] for row in rows)
    return Extent(*found.get(False, (0, 0, 0)), changed) if sealed == _sealed(manifest) else None


def _sealed(manifest: Manifest) -> int:
    """Give what the seals say together when all are there."""
    return sum(segment.rows for segment in manifest.segments)


def _statement(question: Question, manifest: Manifest) -> tuple[str, dict[str, Any]] | None:
    """Give the statement and its parameters; None when the rollup cannot tell."""
    cut = _cut_slices(question.edges)
    if not question.cutoff.includes(manifest.cutoff) or len(cut) > CUT_SLICES_MAX:
        return None
    definition = question.definition
    selection = Selection(
        definition.world,
        question.cutoff,
        [definition.aggregator.entity],
        start_us=question.edges[0],
        end_us=question.edges[-1],
    )
    changes = Changes(selection, manifest.cutoff)
    expressions = Expressions()
    texts = {
        "key": _key(question, expressions, "toUnixTimestamp64Micro(timestamp)"),
        "parts": parts_of(definition.aggregator, expressions),
    }
    lost = {**texts, "parts": parts_of(definition.aggregator, expressions, "-")}
    rollup_key = _key(question, expressions, "toInt64(toUnixTimestamp(slice)) * 1000000")
    uncut = {"which": f"NOT {_within(cut)}", "changed": "count()", "with_clause": expressions.clause()}
    more = ""
    if not changes.is_nothing:
        more += _EVENTS.format(rows=changes.came(), **texts, **uncut)
        if manifest.cutoff.bounds:
            more += _EVENTS.format(rows=changes.went(), **lost, **uncut)
    if cut:
        more += _EVENTS.format(rows=selection.current(), **texts, **{**uncut, "which": _within(cut), "changed": "0"})
    sql = _ANSWER.format(rollup_key=rollup_key, grains=_grains(question, cut), more=more)
    return sql, {**changes.parameters(), **expressions.parameters, "segments": manifest.ids}


def _key(question: Question, expressions: Expressions, at_us: str) -> str:
    """Give what a row is told under, by its instant."""
    if question.by is By.WINDOW:
        return f"roundDown({at_us}, {expressions.bind('Array(Int64)', list(question.edges[:-1]))})"
    if question.by is By.SLICE:
        return f"intDiv({at_us}, {SLICE_US}) * {SLICE_US}"
    return "customer_id" if question.by is By.CUSTOMER else "''"


def _cut_slices(edges: Sequence[int]) -> list[int]:
    """Give the slices within which a window begins or ends."""
    return sorted({edge - edge % SLICE_US for edge in edges if edge % SLICE_US})


def _within(slices: Sequence[int]) -> str:
    """Give the condition that an event lies in one of some slices."""
    ranges = [
        f"(timestamp >= fromUnixTimestamp64Micro({slice_us:d}, 'UTC')"
        f" AND timestamp < fromUnixTimestamp64Micro({slice_us + SLICE_US:d}, 'UTC'))"
        for slice_us in slices
    ]
    return f"({' OR '.join(ranges)})" if ranges else "(0)"


def _grains(question: Question, cut: Sequence[int]) -> str:
    """Give the condition on the rows of a rollup that make up whole slices of the question, each once."""
    start_us, end_us = _up(question.edges[0], SLICE_US), _down(question.edges[-1], SLICE_US)
    if question.by is not By.CUSTOMER:
        but = "".join(f" AND slice != toDateTime({slice_us // 1_000_000:d}, 'UTC')" for slice_us in cut)
        return f"({_rows('everybody', start_us, end_us)}{but})"
    first_day, last_day = _up(start_us, DAY), _down(end_us, DAY)
    if first_day >= last_day:
        return _rows("quarter", start_us, end_us)
    ends = [_rows("quarter", start_us, first_day), _rows("quarter", last_day, end_us)]
    return f"({' OR '.join([_rows('day', first_day, last_day), *ends])})"


def _rows(grain: str, start_us: int, end_us: int) -> str:
    start, end = (f"toDateTime({instant_us // 1_000_000:d}, 'UTC')" for instant_us in (start_us, end_us))
    return f"(grain = '{grain}' AND slice >= {start} AND slice < {end})"


def _up(instant_us: int, step_us: int) -> int:
    return -(-instant_us // step_us) * step_us


def _down(instant_us: int, step_us: int) -> int:
    return instant_us // step_us * step_us
