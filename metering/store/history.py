"""Tell what was applied at instants that have passed: cut-offs as of then, bounded by that of the answer."""

from collections.abc import Iterable

from metering.position import Cutoff, Position
from metering.store.client import Store

_APPLIED_BY = """
SELECT at_us, lane, max(position)
FROM applied
ARRAY JOIN {instants:Array(Int64)} AS at_us
WHERE committed_at <= fromUnixTimestamp64Micro(at_us)
GROUP BY at_us, lane
"""


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
