"""Tell whose usage may have changed between two cut-offs, and where in time."""

from collections.abc import Iterator
from typing import NamedTuple

from metering.store.changes import Changes
from metering.store.client import Store

PAGE = 2_000

# Of what came in and lost at once too: more than what changed, and never less.
_TOUCHED = """
SELECT customer_id, toUnixTimestamp64Micro(min(first)), toUnixTimestamp64Micro(max(last))
FROM (
    SELECT customer_id, min(timestamp) AS first, max(timestamp) AS last
    FROM events
    WHERE {conditions} AND {came} AND customer_id > {{after:String}}
    GROUP BY customer_id
    UNION ALL
    SELECT customer_id, min(timestamp) AS first, max(timestamp) AS last
    FROM superseded
    WHERE {conditions} AND {lost} AND customer_id > {{after:String}}
    GROUP BY customer_id
)
GROUP BY customer_id
ORDER BY customer_id
LIMIT {{page:UInt32}}
"""


class Touched(NamedTuple):
    """An id as events name it, and the first and the last timestamp of what came or lost, both inclusive."""

    customer_id: str
    first_us: int
    last_us: int


def touched(store: Store, changes: Changes) -> Iterator[list[Touched]]:
    """Yield pages of whose usage may have changed, by id. Blocks.

    Raises:
        QueryLimitError: it took more time or memory than one question may.
        StoreUnavailableError: no answer.
    """
    sql = _TOUCHED.format(
        conditions=changes.selection.conditions(),
        came=changes.between("position"),
        lost=changes.between("lost_at"),
    )
    after = ""
    while True:
        rows = store.select(sql, {**changes.selection.parameters(), "after": after, "page": PAGE})
        if rows:
            yield [Touched(*row) for row in rows]
        if len(rows) < PAGE:
            return
        after = rows[-1][0]
