"""Events of a figure in their order, from any place on, and what was counted before it."""

from decimal import Decimal

import pytest

from metering.aggregation import Aggregator, Operation
from metering.filters import EVERYTHING, decode_filter
from metering.position import Cutoff, last_of_message, pack
from metering.store import ordered
from metering.store.chains import ChainStore
from metering.store.ordered import Kind, Order, OrderedEvents
from metering.store.usage import Scope
from tests.builders import NOON_US, a_verdict, a_version

VISA = decode_filter({"fields": [{"property": "card", "operator": "equals", "value": "visa"}]})
SUM = Aggregator("call", Operation.SUM, "n")
LANE = 59_001


@pytest.fixture
async def events(store, world):
    """Give 12 events at 3 instants; record ids run against the order of arrival, every third is by visa."""
    rows = [
        a_version(
            world,
            pack(LANE, 0, index),
            record_id=f"r{99 - index}",
            timestamp_us=NOON_US + index % 3,
            properties=b'{"card":"%s","n":%d.5}' % (b"visa" if index % 3 == 0 else b"other", index),
        )
        for index in range(12)
    ]
    await ChainStore(store).write(a_verdict(rows))
    scope = Scope(world, Cutoff({LANE: last_of_message(LANE, 0)}), customer_ids=["cus_1"])

    def of(groups=(EVERYTHING,), order=Order.ARRIVAL):
        return OrderedEvents(store, scope, SUM, groups, order)

    return of


@pytest.mark.parametrize("order", Order)
def test_pages_of_any_size_are_the_whole_in_order(events, order):
    """By timestamp, then arrival or record id."""
    asked = events(order=order)
    whole = asked.page(None, 100)
    ties = [one.event.position if order is Order.ARRIVAL else one.event.record_id for one in whole]
    assert ties == [tie for instant in range(3) for tie in sorted(ties[4 * instant : 4 * instant + 4])]
    assert [one.event.timestamp_us for one in whole] == [NOON_US + instant for instant in (0, 1, 2) for _ in range(4)]
    for skip in range(13):
        place = asked.place_of(skip - 1) if skip else None
        assert asked.page(place, 5) == whole[skip : skip + 5]
        assert asked.counted_until(place)[0].total == sum(one.value for one in whole[:skip])
    assert asked.place_of(12) is None


def test_groups_are_counted_apart(events):
    """And what no group takes is neither listed nor counted."""
    asked = events(groups=[VISA])
    assert [one.value for one in asked.page(None, 100)] == [Decimal(f"{index}.5") for index in (0, 3, 6, 9)]
    both = events(groups=[VISA, EVERYTHING])
    assert [usage.count for usage in both.counted_until(both.place_of(5))] == [4, 2]
    assert [one.group for one in both.page(None, 6)] == [0, 0, 0, 0, 1, 1]


def test_all_events_are_read_part_by_part(events, monkeypatch):
    """The last part may be full."""
    monkeypatch.setattr(ordered, "PAGE", 4)
    asked = events()
    parts = list(asked.pages())
    assert [len(part) for part in parts] == [4, 4, 4]
    assert [one for part in parts for one in part] == asked.page(None, 100)


async def test_properties_are_told_with_their_kinds(store, world):
    """Of all events: null is of no kind, and a name with quotes is a name."""
    records = [b'{"a":1,"b":"x","c":[1],"d":null}', b'{"a":"1","b":null,"e":true,"q\\"":2}']
    rows = [
        a_version(world, pack(LANE, 9, index), record_id=f"k{index}", properties=one)
        for index, one in enumerate(records)
    ]
    await ChainStore(store).write(a_verdict(rows))
    asked = OrderedEvents(store, Scope(world, Cutoff({LANE: last_of_message(LANE, 9)})), SUM, [EVERYTHING])
    assert asked.properties(100) == {
        "a": Kind.NUMBER | Kind.TEXT,
        "b": Kind.TEXT,
        "c": Kind.ARRAY,
        "d": Kind.NULL,
        "e": Kind.BOOLEAN,
        'q"': Kind.NUMBER,
    }
    assert list(asked.properties(2)) == ["a", "b"]
