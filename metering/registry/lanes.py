"""Lanes: the registry gives each (log, partition) a number of its own, higher than all before it."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from metering.position import LANES_MAX
from metering.registry.tables import lanes


class ForeignLogError(ValueError):
    """Lanes were opened for another log: this one is not the log that the store was filled from."""


def open_lane(connection: sa.Connection, log_id: str, partition: int, now: datetime, older: Sequence[str] = ()) -> int:
    """Give the lane of this partition, opening it at the first call.

    `older` are the logs that this one follows; whoever asks drains them before it applies anything of this one.

    Raises:
        ForeignLogError: lanes were opened for a log that is neither this one nor an older one.
    """
    rows = connection.execute(lanes.select().order_by(lanes.c.lane)).all()
    for row in rows:
        if row.log_id == log_id and row.partition == partition:
            return int(row.lane)
    if any(row.log_id not in {log_id, *older} for row in rows):
        known = ", ".join(sorted({row.log_id for row in rows}))
        raise ForeignLogError(
            f"the log has the id {log_id}, but this installation was filled from {known}: "
            "put the log folder back that belongs to these data, or start in an empty data folder"
        )
    lane = rows[-1].lane + 1 if rows else 0
    assert lane < LANES_MAX
    connection.execute(lanes.insert().values(lane=lane, log_id=log_id, partition=partition, opened_at=now))
    return int(lane)
