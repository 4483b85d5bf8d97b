"""Compare usage with thresholds as it comes in, and write down once what reached one.

For each aggregator with thresholds the checker keeps the cut-off up to which it has compared. From there to what is
applied now it asks whose usage may have changed, reads those figures at the newer cut-off, writes what reached a
threshold into the outbox, and only then notes the cut-off. So a crash costs a comparison that is made again, and a
message names its threshold, customer and period: the second time it is there already, also when usage went down and up
again in between.

What is compared is the total of a period: the aggregator's default interval, or a calendar month, by the clocks of the
customer's zone. Of periods that are over, those count that ended within `LATE`, for what comes in late; usage of a time
to come counts once its period has begun, which is looked at every day.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Any

import structlog

from metering.aggregation import READS_EARLIER, Usage, together
from metering.decimals import plain
from metering.errors import MeteringError
from metering.filters import EVERYTHING
from metering.position import NOTHING, Cutoff
from metering.registry.engine import Registry
from metering.registry.outbox import Fact, keys_told, put_message
from metering.resting import by_turns
from metering.store.changes import Changes
from metering.store.client import Store
from metering.store.current import Selection
from metering.store.questions import Counting, Question, figures_of
from metering.store.rollups.definition import adds_up
from metering.store.touched import Touched, touched
from metering.store.usage import Scope, UsageReader
from metering.thresholds.watched import (
    Owner,
    Threshold,
    Watched,
    note_checked,
    owners_by_identifier,
    watched_aggregators,
)
from metering.timestamps import DAY, EARLIEST_US, LATEST_US, format_instant, microseconds
from metering.windows import Period, Window, period_containing
from metering.world import World
from metering.zones import zone_named

EVENT_TYPE = "usage.threshold_crossed"
LATE_US = 3 * DAY
MANY = 50
"""From so many customers of one period on, the figures of all customers are read at once."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One aggregator at one cut-off. `everybody` keeps the figures of whole periods for the pages that follow."""

    watched: Watched
    cutoff: Cutoff
    now_us: int
    everybody: dict[Window, dict[str, Usage]] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.watched.aggregator.world

    @property
    def _reads_earlier(self) -> bool:
        """Tell whether what changed before a period is part of its figure."""
        return self.watched.aggregator.operation in READS_EARLIER

    def changes(self) -> Changes:
        """Select what changed within the periods that count; a day more at each end, for zones."""
        count, period = self.watched.interval
        zone = zone_named("UTC")
        oldest = period_containing(self.now_us - LATE_US - DAY, period, count, zone)
        selection = Selection(
            self.world,
            self.cutoff,
            [self.watched.aggregator.entity],
            start_us=EARLIEST_US if self._reads_earlier else max(EARLIEST_US, oldest.start_us - DAY),
            end_us=min(LATEST_US, period_containing(self.now_us + DAY, period, count, zone).end_us + DAY),
        )
        return Changes(selection, self.watched.since)

    def windows(self, one: Touched, zone: str) -> Iterator[Window]:
        """Yield the periods that count and may have changed."""
        count, period = self.watched.interval
        last_us = self.now_us if self._reads_earlier else min(one.last_us, self.now_us)
        at_us = max(one.first_us, self.now_us - LATE_US)
        while (window := _period(at_us, period, count, zone)).start_us <= last_us:
            yield window
            at_us = window.end_us


def _period(at_us: int, period: Period, count: int, zone: str) -> Window:
    return period_containing(at_us, period, count, zone_named(zone))


def _stored(window: Window) -> Window:
    """Give the part of a period in which events may lie: several years may begin before and end after that."""
    return Window(max(window.start_us, EARLIEST_US), min(window.end_us, LATEST_US))


class ThresholdChecker:
    """Checks the thresholds of one installation; several processes may, and each crossing is told once."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        usage: UsageReader,
        applied: Callable[[], Awaitable[Cutoff]],
        clock: Callable[[], datetime],
    ) -> None:
        """`applied` gives the newest cut-off, `clock` aware date-times."""
        self._registry = registry
        self._store = store
        self._usage = usage
        self._applied = applied
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled; what is interrupted is compared again."""
        await by_turns(self._try)

    async def _try(self) -> None:
        try:
            await self.check()
        except MeteringError as error:
            _log.warning("thresholds wait", reason=str(error))

    async def check(self) -> None:
        """Compare everything that changed until now.

        Raises:
            UnavailableError, QueryLimitError: the next call begins where this one stopped.
        """
        all_watched = await self._registry.read(watched_aggregators)
        if not all_watched:
            return
        cutoff = await self._applied()
        now_us = microseconds(self._clock())
        for watched in all_watched:
            day = now_us // DAY
            if watched.day != day or not cutoff.includes(watched.since):
                watched = replace(watched, since=NOTHING)  # noqa: PLW2901 - what it begins from.
            elif watched.since.bounds == cutoff.bounds:
                continue
            await self._compare(_Pass(watched, cutoff, now_us))
            # Last: a crash before this line costs one comparison more.
            await self._registry.write(note_checked, [replace(watched, since=cutoff, day=day)])

    async def _compare(self, one: _Pass) -> None:
        pages = touched(self._store, one.changes())
        while page := await self._store.run(next, pages, None):
            identifiers = [each.customer_id for each in page]
            owners = await self._registry.read(owners_by_identifier, one.world, identifiers)
            asked: dict[tuple[str, Window], Owner] = {}
            for each in page:
                owner = owners[each.customer_id]
                for window in one.windows(each, owner.timezone):
                    asked[owner.id, window] = owner
            facts = await self._store.run(self._reached, one, asked)
            if facts:
                await self._tell(one.world, facts)

    def _reached(self, one: _Pass, asked: dict[tuple[str, Window], Owner]) -> list[Fact]:
        """Give what reached a threshold, of customers in periods. Blocks."""
        counted = one.watched.aggregator.counted()
        by_window: dict[Window, list[Owner]] = {}
        for (_, window), owner in asked.items():
            by_window.setdefault(window, []).append(owner)
        facts: list[Fact] = []
        few: list[tuple[Window, Owner]] = []
        for window, owners in by_window.items():
            if len(owners) < MANY or not adds_up(counted):
                few += [(window, owner) for owner in owners]
                continue
            if window not in one.everybody:
                one.everybody[window] = self._usage.by_customer(Scope(one.world, one.cutoff, *_stored(window)), counted)
            for owner in owners:
                facts += _facts(one, owner, window, _of_owner(one.everybody[window], owner.identifiers))
        questions = [Question(owner.identifiers, *_stored(window)) for window, owner in few]
        counting = Counting(one.world, one.cutoff, counted, [EVERYTHING])
        for (window, owner), (usage,) in zip(few, figures_of(self._store, counting, questions), strict=True):
            facts += _facts(one, owner, window, usage)
        return facts

    async def _tell(self, world: World, facts: Sequence[Fact]) -> None:
        told = await self._registry.read(keys_told, world, [fact.key for fact in facts])
        new = [fact for fact in facts if fact.key not in told]
        if new:
            await self._registry.write(_put, world, new, self._clock())


def _put(connection: Any, world: World, facts: Sequence[Fact], now: datetime) -> None:
    for fact in facts:
        put_message(connection, world, fact, now)


def _of_owner(figures: dict[str, Usage], identifiers: Sequence[str]) -> Usage | None:
    found = [figures[identifier] for identifier in identifiers if identifier in figures]
    return reduce(together, found) if found else None


def _facts(one: _Pass, owner: Owner, window: Window, usage: Usage | None) -> list[Fact]:
    if usage is None or usage.is_nothing or usage.total is None:
        return []
    return [
        _fact(one, owner, window, usage, threshold)
        for threshold in one.watched.thresholds
        if threshold.is_reached(usage.total)
    ]


def _fact(one: _Pass, owner: Owner, window: Window, usage: Usage, threshold: Threshold) -> Fact:
    aggregator, customer = one.watched.aggregator, owner.customer
    start, end = format_instant(window.start_us), format_instant(window.end_us)
    key = (
        f"threshold {threshold.operator} {plain(threshold.value)} of {aggregator.id}: {owner.id} from {start} to {end}"
    )
    data = {
        "aggregator": {"id": aggregator.id, "name": aggregator.name, "unit_name": aggregator.unit_name},
        "customer": {
            "id": None if customer is None else customer.id,
            "external_id": owner.id if customer is None else customer.external_id,
        },
        "threshold": threshold.out(),
        "total": usage.total,
        "count": usage.count,
        "period_start": start,
        "period_end": end,
        "cutoff": one.cutoff.encode(),
    }
    return Fact(EVENT_TYPE, key, data)
