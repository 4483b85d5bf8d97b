"""Follow a level through the windows of a series: what changed in one is there from the beginning of the next on."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise

from metering.aggregation import Operation, Usage, no_usage, settled
from metering.decimals import EXACT
from metering.windows import Window

_ZERO = Decimal(0)


def levels(found: Mapping[int, Usage], edges: Sequence[int], *, before: int) -> list[Usage]:
    """Give the weighted sum of each window, from what was gathered by the window's start.

    What lies before the first one was gathered by the key `before`.
    """
    nothing = no_usage(Operation.WEIGHTED_SUM)
    level = _changes(found.get(before, nothing))
    out = []
    for start, end in pairwise(edges):
        usage = found.get(start, nothing)
        _, within, moments = usage.parts or (_ZERO, _ZERO, _ZERO)
        parts = (level, within, moments)
        out.append(settled(Operation.WEIGHTED_SUM, parts, usage.count, usage.not_numbers, Window(start, end)))
        level = EXACT.add(level, within or _ZERO)
    return out


def _changes(usage: Usage) -> Decimal:
    return (usage.parts[0] or _ZERO) if usage.parts else _ZERO
