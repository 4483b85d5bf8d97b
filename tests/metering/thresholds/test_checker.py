"""Reaching a threshold is told once for each threshold, customer and period, whatever happens in between."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from metering.aggregation import Operation
from metering.position import last_of_message, pack
from metering.registry.accounts import create_account
from metering.registry.aggregators import create_aggregator, find_aggregator, update_aggregator
from metering.registry.customers import create_customer
from metering.registry.outbox import list_messages
from metering.store.chains import ChainStore
from metering.store.usage import UsageReader
from metering.thresholds import checker as checking
from metering.thresholds.checker import ThresholdChecker
from metering.timestamps import microseconds
from metering.world import Mode, World
from tests.builders import a_verdict, a_version, loses

# Lanes that no other test of this process uses.
_lanes = itertools.count(62_000)
NOW = datetime(2024, 3, 15, 12, tzinfo=UTC)


class Place:
    """An account with an aggregator, its events, and a checker."""

    def __init__(self, registry, store):
        self.registry, self.store, self.chains = registry, store, ChainStore(store)
        self.now = NOW
        self.lane, self.offset = next(_lanes), 0
        with registry.writing() as connection:
            self.world = World(create_account(connection, "acme", NOW).id, Mode.TEST)
        self.checker = self.another_checker()

    def another_checker(self):
        return ThresholdChecker(
            self.registry, self.store, UsageReader(self.store), self.chains.applied, lambda: self.now
        )

    def aggregator(self, *values, **details):
        thresholds = [{"name": str(value), "threshold_value": value, "comparison_operator": "gte"} for value in values]
        fields = {"name": "Calls", "entity": "call", "operation": Operation.SUM, "property": "amount"}
        with self.registry.writing() as connection:
            return create_aggregator(
                connection, self.world, {**fields, "details": {**details, "thresholds": thresholds}}, NOW
            )

    def change(self, aggregator, *values):
        thresholds = [{"name": None, "threshold_value": value, "comparison_operator": "gte"} for value in values]
        with self.registry.writing() as connection:
            found = find_aggregator(connection, self.world, aggregator.id)
            update_aggregator(connection, found, {"details": {"thresholds": thresholds}}, NOW)

    def customer(self, external_id, **fields):
        with self.registry.writing() as connection:
            return create_customer(connection, self.world, {"external_id": external_id, **fields}, NOW)

    async def put(self, customer_id, amount, at=NOW, record_id=None, supersedes=None):
        """Store a version as the consumer does, and show it."""
        version = a_version(
            self.world,
            pack(self.lane, self.offset, 0),
            record_id=record_id or f"r{self.offset}",
            event_type="call",
            customer_id=customer_id,
            timestamp_us=microseconds(at),
            properties=f'{{"amount":{amount}}}'.encode(),
        )
        lost = [] if supersedes is None else [loses(supersedes, version.position)]
        await self.chains.write(a_verdict([version], lost))
        await self.chains.mark_applied({self.lane: last_of_message(self.lane, self.offset)}, NOW)
        self.offset += 1
        return version

    def told(self):
        """Give who reached what, in which period, in the order in which it was told."""
        with self.registry.reading() as connection:
            found, _ = list_messages(connection, self.world, conditions=(), take=1000, skip=0)
        assert {message.fact.event_type for message in found} <= {"usage.threshold_crossed"}
        data = [message.fact.data for message in reversed(found)]
        return [
            (each["customer"]["external_id"], each["threshold"]["threshold_value"], each["period_start"][:10])
            for each in data
        ]


@pytest.fixture
def place(registry, store):
    store.command("TRUNCATE TABLE applied")
    return Place(registry, store)


async def test_what_reaches_a_threshold_is_told_once(place):
    """At or beyond it, each of several by itself, and not again however much follows."""
    place.aggregator(10, Decimal("20.5"))
    place.customer("ext-1")
    await place.put("ext-1", "9.999")
    await place.checker.check()
    assert place.told() == []
    await place.put("ext-1", "0.001")
    await place.checker.check()
    assert place.told() == [("ext-1", 10, "2024-03-01")]
    await place.put("ext-1", "10.5")
    await place.put("ext-1", "5")
    await place.checker.check()
    await place.checker.check()
    assert place.told() == [("ext-1", 10, "2024-03-01"), ("ext-1", Decimal("20.5"), "2024-03-01")]


async def test_usage_that_goes_down_and_up_again_is_not_told_again(place):
    """Corrections move it to and fro; the period of another month is another one."""
    place.aggregator(10)
    place.customer("ext-1")
    version = await place.put("ext-1", "12", record_id="x")
    for amount in ("3", "11", "1", "50"):
        await place.checker.check()
        version = await place.put("ext-1", amount, record_id="x", supersedes=version)
    await place.checker.check()
    assert place.told() == [("ext-1", 10, "2024-03-01")]
    place.now = NOW + timedelta(days=20)
    await place.put("ext-1", "10", at=place.now)
    await place.checker.check()
    assert place.told() == [("ext-1", 10, "2024-03-01"), ("ext-1", 10, "2024-04-01")]


async def test_a_correction_that_moves_usage_to_another_customer_is_noticed(place):
    """The new customer reaches it, and one that a loss of negative usage lifts does too."""
    place.aggregator(10)
    for name in ("a", "b"):
        place.customer(name)
    moved = await place.put("a", "-5", record_id="x")
    await place.put("a", "12")
    await place.put("b", "16")
    await place.checker.check()
    assert place.told() == [("b", 10, "2024-03-01")]
    await place.put("b", "-5", record_id="x", supersedes=moved)
    await place.checker.check()
    assert place.told() == [("b", 10, "2024-03-01"), ("a", 10, "2024-03-01")]


async def test_a_period_follows_the_clocks_of_the_customer(place):
    """In Tokyo the month has begun when it has not in UTC; both ids of a customer are one usage."""
    place.aggregator(10)
    place.customer("tokyo", timezone="Asia/Tokyo")
    customer = place.customer("utc")
    turn = datetime(2024, 2, 29, 20, tzinfo=UTC)
    place.now = turn + timedelta(hours=1)
    await place.put("tokyo", "10", at=turn)
    await place.put("utc", "4", at=turn)
    await place.put(customer.id, "6", at=turn)
    await place.checker.check()
    assert sorted(place.told()) == [("tokyo", 10, "2024-02-29"), ("utc", 10, "2024-02-01")]


async def test_the_default_interval_is_the_period(place):
    """Days here; what comes in late for a period that ended long ago is not told."""
    place.aggregator(10, default_interval_count=1, default_interval_period="days")
    place.customer("ext-1")
    for days in (0, 1, 2, 9):
        await place.put("ext-1", "10", at=NOW - timedelta(days=days))
    await place.checker.check()
    assert sorted(day for _, _, day in place.told()) == ["2024-03-13", "2024-03-14", "2024-03-15"]


async def test_usage_of_a_time_to_come_counts_when_its_period_has_begun(place):
    """Although nothing comes in then."""
    place.aggregator(10)
    place.customer("ext-1")
    await place.put("ext-1", "10", at=NOW + timedelta(days=30))
    await place.checker.check()
    assert place.told() == []
    place.now = NOW + timedelta(days=20)
    await place.checker.check()
    assert place.told() == [("ext-1", 10, "2024-04-01")]


async def test_a_threshold_that_is_set_later_is_told_at_once(place):
    """Usage that is beyond it already reached it; a name or another aggregator changes nothing."""
    aggregator = place.aggregator(100)
    place.customer("ext-1")
    await place.put("ext-1", "50")
    await place.checker.check()
    place.change(aggregator, 100, 40)
    await place.checker.check()
    await place.checker.check()
    assert place.told() == [("ext-1", 40, "2024-03-01")]


async def test_a_checker_that_dies_between_telling_and_noting_tells_nothing_twice(place, monkeypatch):
    """And one that dies before telling tells it after its restart; two at once tell it once."""
    place.aggregator(10)
    place.customer("ext-1")
    await place.put("ext-1", "10")

    def die(*_):
        raise ZeroDivisionError

    for step in ("_put", "note_checked"):
        with monkeypatch.context() as patch:
            patch.setattr(checking, step, die)
            with pytest.raises(ZeroDivisionError):
                await place.another_checker().check()
    for checker in (place.checker, place.another_checker()):
        await checker.check()
    assert place.told() == [("ext-1", 10, "2024-03-01")]


@pytest.mark.slow
async def test_many_customers_are_compared_at_once_over_pages(place, monkeypatch):
    """Each with all its ids, and those alone that reach it."""
    monkeypatch.setattr("metering.store.touched.PAGE", 7)
    monkeypatch.setattr(checking, "MANY", 3)
    place.aggregator(10)
    for number in range(20):
        customer = place.customer(f"ext-{number:02}")
        await place.put(f"ext-{number:02}", number)
        await place.put(customer.id, "0.5")
    await place.checker.check()
    assert sorted(name for name, _, _ in place.told()) == [f"ext-{number:02}" for number in range(10, 20)]


async def test_an_id_that_nobody_has_is_told_by_itself(place):
    """It is somebody's usage all the same."""
    place.aggregator(10)
    await place.put("nobody", "10")
    await place.checker.check()
    assert place.told() == [("nobody", 10, "2024-03-01")]
