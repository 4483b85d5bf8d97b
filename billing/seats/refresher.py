"""Read connected seats in the background: periodic ones by the clock, realtime ones when usage changed them.

Seats whose time has come are read at what is applied by then. Of an aggregator with realtime seats the refresher keeps
the cut-off up to which it has looked: from there on it asks whose usage changed, reads the seats of these customers at
the newer cut-off, writes what differs, and only then notes the cut-off. So a crash costs a reading that is made again,
and a count that stands in the subscription already is not written twice. Any number of processes may do this at once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from billing.seats.due import (
    DUE_MAX,
    DueSeats,
    WatchedSeats,
    due_seats,
    forget_seats,
    note_looked,
    put_off,
    seats_of_customers,
    watched_seats,
)
from billing.seats.reading import count_seats
from billing.seats.refresh import Reading
from billing.seats.registry import Seats, read_seats, write_refresh
from metering.aggregation import Operation
from metering.errors import MeteringError, QueryLimitError
from metering.position import NOTHING, Cutoff
from metering.registry.engine import Registry
from metering.resting import by_turns
from metering.store.changes import Changes
from metering.store.client import Store
from metering.store.current import Selection
from metering.store.touched import touched
from metering.thresholds.watched import owners_by_identifier
from metering.timestamps import EARLIEST_US, LATEST_US
from metering.world import World

PUT_OFF = timedelta(hours=1)
_NAMED_MAX = 10

_log = structlog.get_logger(__name__)


class SeatRefresher:
    """Refreshes the connected seats of one installation."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        applied: Callable[[], Awaitable[Cutoff]],
        clock: Callable[[], datetime],
    ) -> None:
        """`applied` gives the newest cut-off, `clock` aware date-times."""
        self._registry = registry
        self._store = store
        self._applied = applied
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled; what is interrupted is read again."""
        await by_turns(self._try)

    async def _try(self) -> None:
        try:
            await self.refresh()
        except MeteringError as error:
            _log.warning("seats wait", reason=str(error))

    async def refresh(self) -> None:
        """Read a batch of the seats whose time has come, and all realtime ones that may have changed until now.

        Raises:
            UnavailableError, QueryLimitError: the next call begins where this one stopped.
        """
        for due in await self._registry.read(due_seats, self._clock()):
            await self._refresh_due(due, await self._applied())
        for watched in await self._registry.read(watched_seats):
            cutoff = await self._applied()
            if not cutoff.includes(watched.since):
                await self._look(replace(watched, since=NOTHING), cutoff)
            elif cutoff.bounds != watched.since.bounds:
                await self._look(watched, cutoff)

    async def _look(self, watched: WatchedSeats, cutoff: Cutoff) -> None:
        aggregator = watched.aggregator
        selection = Selection(aggregator.world, cutoff, [aggregator.entity], start_us=EARLIEST_US, end_us=LATEST_US)
        pages = touched(self._store, Changes(selection, watched.since))
        while page := await self._store.run(next, pages, None):
            owners = await self._registry.read(
                owners_by_identifier, aggregator.world, [each.customer_id for each in page]
            )
            customers = sorted({one.customer.id for one in owners.values() if one.customer is not None})
            for start in range(0, len(customers), DUE_MAX):
                due = await self._registry.read(seats_of_customers, watched, customers[start : start + DUE_MAX])
                await self._refresh(due, cutoff)
        # Last: a crash before this line costs one reading more.
        await self._registry.write(note_looked, replace(watched, since=cutoff))

    async def _refresh_due(self, due: DueSeats, cutoff: Cutoff) -> None:
        """Read seats whose time has come; those that are not there any more have had their last."""
        standing = await self._refresh(due, cutoff)
        gone = due.subscription_of.keys() - standing
        if gone:
            await self._registry.write(forget_seats, due.world, gone)

    async def _refresh(self, due: DueSeats, cutoff: Cutoff) -> set[str]:
        """Read seats and write what differs; give the ids of those that are there now."""
        ids = sorted(set(due.subscription_of.values()))
        found = await self._registry.read(read_seats, due.world, ids, self._clock())
        wanted = [one for own in found.values() for one in own if one.product.id in due.subscription_of]
        counted = await self._count(due.world, cutoff, wanted)
        readings: dict[str, dict[str, Reading]] = {}
        for product_id, count in counted.items():
            own = readings.setdefault(due.subscription_of[product_id], {})
            own[product_id] = Reading(count, cutoff.encode(), due.reason)
        for subscription_id, own in readings.items():
            await self._registry.write(write_refresh, due.world, subscription_id, own, self._clock)
        return {one.product.id for one in wanted}

    async def _count(self, world: World, cutoff: Cutoff, wanted: Sequence[Seats]) -> dict[str, Decimal]:
        """Count seats; those that cannot be counted are told of and put off, so that they keep nobody waiting."""
        able = [one for one in wanted if one.aggregator.operation is Operation.COUNT]
        unable = [one for one in wanted if one.aggregator.operation is not Operation.COUNT]
        try:
            counted = await self._store.run(count_seats, self._store, world, cutoff, able)
        except QueryLimitError:
            counted = {}
            for one in able:
                try:
                    counted |= await self._store.run(count_seats, self._store, world, cutoff, [one])
                except QueryLimitError:
                    unable.append(one)
        if unable:
            _log.warning(
                "seats cannot be counted", subscriptions=sorted({one.subscription.id for one in unable})[:_NAMED_MAX]
            )
            until = self._clock() + PUT_OFF
            await self._registry.write(put_off, world, {one.product.id for one in unable}, until)
        return counted
