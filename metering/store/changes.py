"""Select what changed between two cut-offs: the versions that became current, and those that no longer are.

A version is current at a cut-off when it is seen there and its loss is not. Both sets only grow, so from an earlier
cut-off to a later one

    became current:  versions that came in between, and did not lose until the later one
    ceased to be:    versions seen at the earlier one that lost in between (a version loses once)

and what adds up over versions is, at the later cut-off, what it was at the earlier one, plus the first less the second.
"""

from dataclasses import dataclass
from typing import Any

from metering.position import Cutoff
from metering.store.current import LANE_SHIFT, Selection, seen

_CAME = """
FROM events FINAL
WHERE {conditions}
  AND {between}
  AND position NOT IN (
      SELECT position FROM superseded
      WHERE {conditions}
        AND {between}
        AND {lost_at_seen})
"""

_WENT_KEYS = """
      FROM superseded
      WHERE {conditions}
        AND {lost_between}
        AND {seen_before}"""

# The first of the two finds the rows by the primary key, the second tells which of them.
_WENT = """
FROM events FINAL
WHERE {conditions}
  AND (customer_id, timestamp) IN (
      SELECT customer_id, timestamp{keys})
  AND position IN (
      SELECT position{keys})
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed within a selection from the cut-off `since`, which its own includes, up to its own."""

    selection: Selection
    since: Cutoff

    def __post_init__(self) -> None:
        assert self.selection.cutoff.includes(self.since)

    @property
    def is_nothing(self) -> bool:
        """Tell whether the two cut-offs are the same."""
        return self.selection.cutoff.bounds == self.since.bounds

    def came(self) -> str:
        """Give FROM and WHERE of the versions that became current, each once."""
        return _CAME.format(
            conditions=self.selection.conditions(), between=self.between("position"), lost_at_seen=seen("lost_at")
        )

    def went(self) -> str:
        """Give FROM and WHERE of the versions that ceased to be current, each once."""
        keys = _WENT_KEYS.format(
            conditions=self.selection.conditions(),
            lost_between=self.between("lost_at"),
            seen_before=seen("position", "since_"),
        )
        return _WENT.format(conditions=self.selection.conditions(), keys=keys)

    def parameters(self) -> dict[str, Any]:
        """Give the parameters that `came` and `went` are bound to."""
        lanes = sorted(self.since.bounds)
        return {
            **self.selection.parameters(),
            "since_lanes": lanes,
            "since_lane_ends": [self.since.bounds[lane] + 1 for lane in lanes],
        }

    def between(self, position: str) -> str:
        """Give the condition that a position lies in what was added, as ranges that an index can be read by."""
        ranges = []
        for lane, last in sorted(self.selection.cutoff.bounds.items()):
            before = self.since.bounds.get(lane)
            first = lane << LANE_SHIFT if before is None else before + 1
            if first <= last:
                ranges.append(f"{position} BETWEEN {first:d} AND {last:d}")
        return f"({' OR '.join(ranges)})" if ranges else "0"
