"""Answer many questions about one aggregator in one statement: each customer in windows of its own.

A list of invoices asks for the same figure of many customers and periods, and those begin and end anywhere: a first
period starts when its subscription did. Each row is matched with the questions of its customer that hold its
timestamp, so windows may overlap, and a customer with several ids is one figure, whatever the operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from metering.aggregation import READS_EARLIER, Aggregator, Usage, no_usage
from metering.filters import Filter
from metering.position import Cutoff
from metering.store.client import Store
from metering.store.current import Selection
from metering.store.expressions import Expressions
from metering.store.measures import Told, figure, figure_columns, matched_by
from metering.store.once import ONCE, select_once
from metering.store.usage import first_group
from metering.windows import Window
from metering.world import World

QUESTIONS_MAX = 500
"""So many are asked in one statement; more take several."""

_ANSWERS = """
SELECT
    {question} AS question,
    {group} AS group_index,
    {figures},
    {once}
{counted}
GROUP BY question, group_index
"""

# The numbers of all questions that a row is asked about in.
_QUESTIONS = """arrayJoin(arrayMap(
        window -> window.1,
        arrayFilter(
            window -> {begun} AND toUnixTimestamp64Micro(timestamp) < window.3,
            arrayZip({numbers}[{customer}], {starts}[{customer}], {ends}[{customer}]))))"""


class Question(NamedTuple):
    """A customer, by all ids that events may name it by, and the instants `[start_us, end_us)`."""

    customer_ids: Sequence[str]
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Counting:
    """What all questions of one call have in common.

    An event belongs to the first group whose filter it meets; a group without conditions takes what is left. The event
    with `but_record_id` is left out. `known` is a text of which it is asked whether it is among the unique values.
    """

    world: World
    cutoff: Cutoff
    aggregator: Aggregator
    groups: Sequence[Filter]
    but_record_id: str | None = None
    known: str | None = None


def figures_of(store: Store, counting: Counting, questions: Sequence[Question]) -> list[list[Usage]]:
    """Give for each question, in order, the figure of each group, in order, zeros included.

    Blocks, so async callers go through `Store.run`.

    Raises:
        QueryLimitError: it took more time or memory than one question may.
        StoreUnavailableError: no answer.
    """
    out: list[list[Usage]] = []
    for start in range(0, len(questions), QUESTIONS_MAX):
        out += _answer(store, counting, questions[start : start + QUESTIONS_MAX])
    return out


def _answer(store: Store, counting: Counting, questions: Sequence[Question]) -> list[list[Usage]]:
    aggregator, groups = counting.aggregator, counting.groups
    expressions = Expressions()
    earlier = aggregator.operation in READS_EARLIER
    if len(questions) == 1:  # Every row that is read is of it, and planning the whole matching takes longer than it.
        question, since = "toUInt32(0)", expressions.bind("Int64", questions[0].start_us)
    else:
        question = _matching(questions, expressions, earlier=earlier)
        since = f"{expressions.bind('Array(Int64)', [each.start_us for each in questions])}[question + 1]"
    selection = Selection(
        counting.world,
        counting.cutoff,
        [aggregator.entity],
        sorted({one for each in questions for one in each.customer_ids}),
        start_us=None if earlier else min(each.start_us for each in questions),
        end_us=max(each.end_us for each in questions),
        but_record_id=counting.but_record_id,
    )
    matched = matched_by(aggregator, expressions, one_type=True)
    figures = figure_columns(aggregator, matched, expressions, Told(since, counting.known))
    statement = partial(
        _ANSWERS.format, once=ONCE, question=question, group=first_group(groups, expressions), figures=figures
    )

    def over(current: str) -> str:
        return statement(counted=expressions.over(current))

    answers = [[no_usage(aggregator.operation)] * len(groups) for _ in questions]
    for number, group_index, *columns in select_once(store, over, selection, expressions.parameters):
        if group_index >= 0:
            window = Window(questions[number].start_us, questions[number].end_us)
            answers[number][group_index] = figure(aggregator.operation, columns, window)
    return answers


def _matching(questions: Sequence[Question], expressions: Expressions, *, earlier: bool) -> str:
    """Give the expression of the questions' numbers, of which a row may have several."""
    windows: dict[str, list[tuple[int, int, int]]] = {}
    for number, question in enumerate(questions):
        for customer_id in set(question.customer_ids):
            windows.setdefault(customer_id, []).append((number, question.start_us, question.end_us))
    ids = expressions.bind("Array(String)", list(windows))
    order = expressions.bind("Array(UInt32)", list(range(1, len(windows) + 1)))
    numbers, starts, ends = (
        expressions.bind(f"Array(Array({kind}))", [[window[part] for window in own] for own in windows.values()])
        for part, kind in ((0, "UInt32"), (1, "Int64"), (2, "Int64"))
    )
    return _QUESTIONS.format(
        begun="1" if earlier else "window.2 <= toUnixTimestamp64Micro(timestamp)",
        customer=f"transform(customer_id, {ids}, {order}, toUInt32(0))",
        numbers=numbers,
        starts=starts,
        ends=ends,
    )
