"""Find where a version came in, and what had come in by then: one order of all events, over all lanes.

Within a lane events are in the order of their positions. Lanes are put in order by when they were marked as applied: an
event comes after all that an earlier mark shows, and of one mark's events those of lower lanes come first. So of any
two events one is before the other, whichever lanes they came through, and the order never changes.
"""

from dataclasses import dataclass
from typing import Any

from metering.position import Cutoff, Position, lane_of
from metering.store.client import Store
from metering.world import World

# All of the primary key but the position: a few rows are read.
_SAME_VERSION = """account_id = {account_id:String} AND mode = {mode:String}
  AND event_type = {event_type:String} AND customer_id = {customer_id:String}
  AND timestamp = fromUnixTimestamp64Micro({timestamp_us:Int64}, 'UTC') AND record_id = {record_id:String}"""

_ARRIVALS = """
SELECT position, position IN (SELECT position FROM superseded WHERE {same} AND lost_at = position) AS beaten
FROM events
WHERE {same} AND record_id_is_number = {{record_id_is_number:Bool}} AND properties = {{properties:String}}
  AND position <= {{upto:UInt64}}
ORDER BY beaten, position DESC
LIMIT 1
"""

_SHOWN_AT = """
SELECT toUnixTimestamp64Micro(committed_at)
FROM applied
WHERE lane = {lane:UInt16} AND position >= {position:UInt64}
ORDER BY position, committed_at
LIMIT 1
"""

# Read from the end of each lane backwards, by primary key.
_LANE_AT = """(
SELECT lane, position
FROM applied
WHERE lane = {lane} AND committed_at {within} fromUnixTimestamp64Micro({{at_us:Int64}}, 'UTC')
ORDER BY position DESC
LIMIT 1)"""


@dataclass(frozen=True, slots=True)
class SameVersion:
    """What makes two versions of a key the same. `properties` is the record without its id, as it is stored."""

    event_type: str
    record_id: str
    record_id_is_number: bool
    customer_id: str
    timestamp_us: int
    properties: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """Where a version came in; `beaten` says that one with a later timestamp was there before it: it never counted."""

    position: Position
    beaten: bool


class Arrivals:
    """Reads the order from the store; threads and tasks may share it. Calls block."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def last_of(self, world: World, version: SameVersion, upto: Position) -> Arrived | None:
        """Give the last time up to a position, inclusive, that this very version came in and was not beaten.

        One that was beaten each time came in when it last did; None when it never did.
        """
        parameters: dict[str, Any] = {
            "account_id": world.account_id,
            "mode": world.mode.value,
            "event_type": version.event_type,
            "customer_id": version.customer_id,
            "timestamp_us": version.timestamp_us,
            "record_id": version.record_id,
            "record_id_is_number": version.record_id_is_number,
            "properties": version.properties.decode(),
            "upto": upto,
        }
        for position, beaten in self._store.select(_ARRIVALS.format(same=_SAME_VERSION), parameters):
            return Arrived(Position(position), bool(beaten))
        return None

    def cutoff_at(self, position: Position, applied: Cutoff) -> Cutoff:
        """Give the cut-off that sees an event and all before it; `applied` names the lanes, and sees the event."""
        assert applied.covers(position)
        own = lane_of(position)
        others = [lane for lane in sorted(applied.bounds) if lane != own]
        if not others:
            return Cutoff({own: position})
        ((at_us,),) = self._store.select(_SHOWN_AT, {"lane": own, "position": position})
        statements = [_LANE_AT.format(lane=lane, within="<=" if lane < own else "<") for lane in others]
        rows = self._store.select("\nUNION ALL\n".join(statements), {"at_us": at_us})
        return Cutoff({own: position, **{lane: Position(bound) for lane, bound in rows}})
