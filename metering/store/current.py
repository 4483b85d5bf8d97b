"""Select the current versions at a cut-off: the one place that says which rows of the store are seen.

A row counts when its position is within the cut-off and no row of `superseded` within the cut-off lists that position.
Losers carry the loser's own customer and time, so those of a range of events are the same range of `superseded`: both
are read by primary key. A row that a replay wrote twice is one row under FINAL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metering.position import INDEX_BITS, OFFSET_BITS, Cutoff
from metering.world import World

MONTHS_APART = "SETTINGS do_not_merge_across_partitions_select_final = 1"
"""To be put at the end of every statement that reads FINAL: rows of one version share the month."""

# Under FINAL nothing is moved to PREWHERE; in the small table that says who lost, planning it costs more than it saves.
CURRENT_SETTINGS = f"{MONTHS_APART}, optimize_move_to_prewhere = 0"
"""To be put at the end of every statement that reads `Selection.current`."""

_CURRENT = """
FROM events{final}
WHERE {conditions}
  AND {position_seen}
  AND position NOT IN (
      SELECT position FROM superseded
      WHERE {conditions}
        AND {lost_at_seen})
"""

LANE_SHIFT = OFFSET_BITS + INDEX_BITS


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose events, and which: None sets no condition. `start_us <= timestamp < end_us`, microseconds since 1970.

    `customer_ids` are the ids as events name them: all of a customer's. Events with `but_record_id` are left out.
    """

    world: World
    cutoff: Cutoff
    event_types: Sequence[str] | None = None
    customer_ids: Sequence[str] | None = None
    record_ids: Sequence[str] | None = None
    start_us: int | None = None
    end_us: int | None = None
    but_record_id: str | None = None

    def conditions(self) -> str:
        """Give the conditions on a row's own columns, the same for `events` and `superseded`."""
        parts = ["account_id = {account_id:String}", "mode = {mode:String}"]
        if self.event_types is not None:
            parts.append("event_type IN {event_types:Array(String)}")
        if self.customer_ids is not None:
            parts.append("customer_id IN {customer_ids:Array(String)}")
        if self.record_ids is not None:
            parts.append("record_id IN {record_ids:Array(String)}")
        if self.start_us is not None:
            parts.append("timestamp >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')")
        if self.end_us is not None:
            parts.append("timestamp < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')")
        if self.but_record_id is not None:
            parts.append("record_id != {but_record_id:String}")
        return "\n  AND ".join(parts)

    def parameters(self) -> dict[str, Any]:
        """Give the parameters that `conditions`, `current` and `seen` are bound to."""
        lanes = sorted(self.cutoff.bounds)
        parameters: dict[str, Any] = {
            "account_id": self.world.account_id,
            "mode": self.world.mode.value,
            "lanes": lanes,
            "lane_ends": [self.cutoff.bounds[lane] + 1 for lane in lanes],
        }
        for name in ("event_types", "customer_ids", "record_ids", "start_us", "end_us", "but_record_id"):
            value = getattr(self, name)
            if value is not None:
                parameters[name] = value if isinstance(value, int | str) else list(value)
        return parameters

    def current(self, *, final: bool = True) -> str:
        """Give FROM and WHERE of the current versions, each once; without `final` replayed ones come again."""
        return _CURRENT.format(
            final=" FINAL" if final else "",
            conditions=self.conditions(),
            position_seen=seen("position"),
            lost_at_seen=seen("lost_at"),
        )


def seen(position: str, which: str = "") -> str:
    """Give the condition that a position lies within the cut-off; a lane that it does not name is not seen.

    `which` begins the names of the cut-off's parameters, where a statement has several.
    """
    lane = f"bitShiftRight({position}, {LANE_SHIFT})"
    ends = f"{{{which}lanes:Array(UInt64)}}, {{{which}lane_ends:Array(UInt64)}}"
    return f"{position} < transform({lane}, {ends}, toUInt64(0))"
