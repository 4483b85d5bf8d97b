"""Count many spans that begin together without reading an event once for each of them.

A year that is billed daily by what each day adds wants 365 figures that begin on the same day. Of a count or a sum
each of them is the one before and the day between, so only the days are asked for.
"""

from collections.abc import Sequence
from itertools import pairwise

from metering.aggregation import ADDS_UP, Usage, together
from metering.store.client import Store
from metering.store.questions import Counting, Question, figures_of

_Beginning = tuple[tuple[str, ...], int]


def running_figures(store: Store, counting: Counting, questions: Sequence[Question]) -> list[list[Usage]]:
    """Give what `figures_of` gives. Blocks.

    Raises:
        QueryLimitError: it took more time or memory than one question may.
        StoreUnavailableError: no answer.
    """
    if counting.aggregator.operation not in ADDS_UP:
        return figures_of(store, counting, questions)
    ends: dict[_Beginning, set[int]] = {}
    for question in questions:
        ends.setdefault(_beginning(question), set()).add(question.end_us)
    slices = [
        (beginning, Question(beginning[0], start_us, end_us))
        for beginning, own in ends.items()
        for start_us, end_us in pairwise([beginning[1], *sorted(own)])
    ]
    figures = figures_of(store, counting, [question for _, question in slices])
    running: dict[tuple[_Beginning, int], list[Usage]] = {}
    so_far: list[Usage] = []
    before: _Beginning | None = None
    for (beginning, question), usages in zip(slices, figures, strict=True):
        so_far = (
            [together(one, other) for one, other in zip(so_far, usages, strict=True)] if beginning == before else usages
        )
        before = beginning
        running[beginning, question.end_us] = so_far
    return [running[_beginning(question), question.end_us] for question in questions]


def _beginning(question: Question) -> _Beginning:
    return tuple(question.customer_ids), question.start_us
