"""Tell what was applied at instants that have passed: cut-offs as of then, bounded by that of the answer, and back."""

from collections.abc import Iterable
from datetime import datetime

from metering.position import Cutoff, Position
from metering.store.client import Store
from metering.store.columns import moment

_APPLIED_BY = """
SELECT at_us, lane, max(position)
FROM applied
ARRAY JOIN {instants:Array(Int64)} AS at_us
WHERE committed_at <= fromUnixTimestamp64Micro(at_us)
GROUP BY at_us, lane
"""

# By primary key, from the position on.
_COMMITTED_AT = """(
SELECT toUnixTimestamp64Micro(committed_at)
FROM applied
WHERE lane = {lane} AND position >= {position}
ORDER BY position, committed_at
LIMIT 1)"""


def committed_at(store: Store, cutoff: Cutoff) -> datetime | None:
    """Give when all that a cut-off sees was marked as applied, None when it sees nothing. Blocks."""
    statements = [_COMMITTED_AT.format(lane=lane, position=int(bound)) for lane, bound in cutoff.bounds.items()]
    marked = [at_us for (at_us,) in store.select("\nUNION ALL\n".join(statements))] if statements else []
    return moment(max(marked)) if marked else None


def cutoffs_by(store: Store, instants_us: Iterable[int], most: Cutoff) -> dict[int, Cutoff]:
    """Give the last cut-off that was marked at or before each instant, never more than `most`. Blocks.

    The instants must have passed for longer than a mark takes, or one that is under way may come to lie before them.
    """
    wanted = sorted(set(instants_us))
    bounds: dict[int, dict[int, Position]] = {instant_us: {} for instant_us in wanted}
    if wanted:
        for at_us, lane, position in store.select(_APPLIED_BY, {"instants": wanted}):
            if lane in most.bounds:
                bounds[at_us][lane] = Position(min(position, most.bounds[lane]))
    return {instant_us: Cutoff(known) for instant_us, known in bounds.items()}
