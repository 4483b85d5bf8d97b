"""Sum up what a store holds, group by group, so that two stores can be compared without moving their rows.

A group is (account, mode, event type, month of the timestamp). Its digest counts the rows, each once however often it
was written, and adds and xors a 64-bit hash of each: two sets of rows with one digest are the same set.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from metering.position import Cutoff, Position
from metering.store.client import Store
from metering.store.current import CURRENT_SETTINGS, Selection
from metering.world import Mode, World

ROWS_TOLD_MAX = 10_000


class Group(NamedTuple):
    """Which rows: `month` as 202403."""

    account_id: str
    mode: str
    event_type: str
    month: int


Digest = tuple[int, int, int]
"""How many rows, the sum of their hashes modulo 2^64, their xor."""

_CONTENT: Mapping[str, str] = {
    "events": "customer_id, timestamp, record_id, position, record_id_is_number, properties, received_at",
    "superseded": "customer_id, timestamp, record_id, position, lost_at",
    "event_keys": "key_hash, record_id, position, timestamp, customer_id, content_hash, deleted",
}
ROW_SETS = tuple(_CONTENT)

_GROUPED = """
SELECT toString(account_id) AS account_id, toString(mode) AS mode, toString(event_type) AS type,
       toYYYYMM(timestamp) AS month, count() AS rows, sum(sipHash64({content})) AS added,
       groupBitXor(sipHash64({content})) AS xored
{rows}
GROUP BY account_id, mode, type, month
"""
_ROWS = """
SELECT record_id, position, sipHash64({content}) AS hash
FROM {table} FINAL
WHERE account_id = {{account_id:String}} AND mode = {{mode:String}} AND event_type = {{event_type:String}}
  AND toYYYYMM(timestamp) = {{month:UInt32}}
ORDER BY position
LIMIT {{limit:UInt32}}
"""
_APPLIED = "SELECT lane, max(position) AS position FROM applied GROUP BY lane"


def digests(store: Store, table: str) -> dict[Group, Digest]:
    """Digest one of `ROW_SETS`. Reads all of it."""
    found = store.look_up(_GROUPED.format(content=_CONTENT[table], rows=f"FROM {table} FINAL")).to_pylist()
    return {
        Group(row["account_id"], row["mode"], row["type"], row["month"]): (row["rows"], row["added"], row["xored"])
        for row in found
    }


def figure_digests(store: Store, world: World, cutoff: Cutoff) -> dict[Group, Digest]:
    """Digest the current versions of a world: what every figure is made of."""
    selection = Selection(world, cutoff)
    content = "customer_id, timestamp, record_id, properties"
    sql = f"""
SELECT toString(event_type) AS type, toYYYYMM(timestamp) AS month, count() AS rows,
       sum(sipHash64({content})) AS added, groupBitXor(sipHash64({content})) AS xored
{selection.current()}
GROUP BY type, month
{CURRENT_SETTINGS}
"""
    found = store.look_up(sql, selection.parameters()).to_pylist()
    return {
        Group(world.account_id, world.mode.value, row["type"], row["month"]): (row["rows"], row["added"], row["xored"])
        for row in found
    }


def rows_of(store: Store, table: str, group: Group) -> list[tuple[str, int, int]]:
    """Give the first rows of a group as (record id, position, hash), by position: at most `ROWS_TOLD_MAX`."""
    sql = _ROWS.format(content=_CONTENT[table], table=table)
    found = store.look_up(sql, {**group._asdict(), "limit": ROWS_TOLD_MAX})
    return [(row["record_id"], row["position"], row["hash"]) for row in found.to_pylist()]


def applied_to(store: Store) -> Cutoff:
    """Give how far each lane is applied."""
    rows = store.look_up(_APPLIED).to_pylist()
    return Cutoff({row["lane"]: Position(row["position"]) for row in rows})


def worlds_in(groups: Iterable[Group]) -> list[World]:
    """Name each world once, in order."""
    return [World(account, Mode(mode)) for account, mode in sorted({group[:2] for group in groups})]
