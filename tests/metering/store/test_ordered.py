"""Events of a figure in their order, from any place on, and what was counted before it."""

from decimal import Decimal
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.aggregation import AFTER_ALL, Aggregator, Brought, Operation, grown, no_usage, total_of
from metering.filters import EVERYTHING, decode_filter, matches
from metering.position import Cutoff, last_of_message, pack
from metering.store import ordered
from metering.store.chains import ChainStore
from metering.store.ordered import Kind, Order, OrderedEvents
from metering.store.usage import Scope
from metering.timestamps import DAY
from metering.windows import Window
from tests.builders import NOON_US, a_verdict, a_version
from tests.histories import CUSTOMERS, START_US, cutoff_ends, histories
from tests.metering.store.test_usage import AGGREGATORS, PRO, a_world, occurrence, placed, slow_store

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


@pytest.mark.slow
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


@pytest.mark.slow
@slow_store
@given(histories, cutoff_ends, st.integers(0, 30), st.sampled_from(AGGREGATORS))
def test_what_each_event_brings_makes_the_figure_of_all_up_to_it(store, history, ends, first_day, aggregator):
    """Of every operation, for each group, from any place on: as counted anew over all events up to each."""
    world = a_world()
    history.write(store, world)
    window = Window(START_US + first_day * DAY, START_US + 50 * DAY)
    scope = Scope(world, history.cutoff(ends), *window, CUSTOMERS)
    asked = OrderedEvents(store, scope, aggregator, [PRO, EVERYTHING])
    rows = sorted(
        (row for row in placed(history, scope, aggregator) if matches(aggregator.where, row[1].record)),
        key=lambda row: (row[1].timestamp_us, row[0]),
    )
    begun = [row for row in rows if row[1].timestamp_us < window.start_us]
    inside = rows[len(begun) :]

    def counted(events):
        """Count each group anew."""
        groups = [[], []]
        for row in events:
            groups[not matches(PRO, row[1].record)].append(occurrence(*row))
        return [total_of(aggregator, group, window) for group in groups]

    assert asked.counted_until(None) == counted(begun)
    pages = (asked.page(asked.place_of(skip - 1) if skip else None, 3) for skip in range(0, len(inside), 3))
    running = asked.counted_until(None)
    for index, one in enumerate(chain.from_iterable(pages)):
        assert one.event.position == inside[index][0]
        brought = Brought(one.value, one.event.timestamp_us, one.event.position)
        running[one.group] = grown(aggregator.operation, running[one.group], brought, window)
        expected = counted([*begun, *inside[: index + 1]])
        assert running == expected
        assert asked.counted_until(asked.place_of(index)) == expected


def test_of_equal_times_the_greater_position_is_the_latest():
    """Whichever is added first; what has not come in yet comes after all."""
    usage = no_usage(Operation.LATEST)
    for number, position, latest in ((1, 5, 1), (2, 4, 1), (3, 6, 3), (4, AFTER_ALL, 4), (5, 7, 4)):
        usage = grown(Operation.LATEST, usage, Brought(Decimal(number), NOON_US, position), None)
        assert usage.total == latest
