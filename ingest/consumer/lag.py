"""Say how far the figures are behind what was accepted, from any process that can read the log and the store.

What is applied is read first and the log's end after it: an event that was accepted in between then shows as lag
although it may be applied, never the other way round.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ingest.consumer.lanes import next_offsets
from ingest.consumer.seams import Clock
from ingest.errors import LogCorruptError
from ingest.log.protocol import LogReader
from ingest.log.spool.state import Spooled
from metering.position import Cutoff

POLL_S_MIN = 0.01
POLL_S_MAX = 0.1
_TRIES = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the figures are behind: all usage accepted before `applied_until` is in them."""

    lag_events: int
    applied_until: datetime
    oldest_unapplied_age_ms: int


class Applied(Protocol):
    """Who knows what is applied: the reading half of a version store."""

    async def applied(self) -> Cutoff:
        """Give the newest cut-off."""
        ...


async def lag_of(log: LogReader, store: Applied, lane_of: Mapping[int, int], clock: Clock) -> Lag:
    """Give the lag over all partitions.

    Raises:
        StoreUnavailableError: what is applied is not known.
        LogUnavailableError: what was accepted is not known.
    """
    for attempt in range(1, _TRIES + 1):
        moment = clock()
        applied = await store.applied()
        try:
            return await _lag(log, applied, lane_of, moment)
        except LogCorruptError:
            # The consumer went on and the log was trimmed behind it, while we looked: look again.
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def with_spooled(lag: Lag, spooled: Spooled, moment: datetime) -> Lag:
    """Add what waits in the spool to what waits in the log."""
    if spooled.oldest_at_us is None:
        return lag
    until = min(lag.applied_until, _EPOCH + timedelta(microseconds=spooled.oldest_at_us))
    age_ms = max((moment - until) // timedelta(milliseconds=1), 1)
    return Lag(lag.lag_events + spooled.events, until, age_ms)


async def wait_until_applied(store: Applied, wanted: Cutoff, timeout_s: float) -> bool:
    """Wait until a cut-off is in the figures; tell whether that came in time.

    Raises:
        StoreUnavailableError: what is applied is not known.
    """
    pause_s = POLL_S_MIN
    try:
        async with asyncio.timeout(timeout_s):
            while not (await store.applied()).includes(wanted):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, POLL_S_MAX)
    except TimeoutError:
        return False
    return True


async def _lag(log: LogReader, applied: Cutoff, lane_of: Mapping[int, int], moment: datetime) -> Lag:
    backlog = await log.backlog(await next_offsets(log, lane_of, applied))
    if backlog.oldest_at_us is None:
        return Lag(0, moment, 0)
    # What was accepted before the oldest that is not applied, is applied.
    until = min(moment, _EPOCH + timedelta(microseconds=backlog.oldest_at_us))
    return Lag(backlog.events, until, max((moment - until) // timedelta(milliseconds=1), 1))
