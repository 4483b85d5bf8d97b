"""Figures read from the store are those of the model, at any cut-off, whatever was corrected, deleted or replayed."""

from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.aggregation import Aggregator, Operation, Usage, total_of, value_of
from metering.filters import EVERYTHING, matches
from metering.filters import decode_filter as where
from metering.ids import new_id
from metering.position import Cutoff
from metering.ranges import Range
from metering.store.usage import Scope, Span, UsageReader
from metering.timestamps import DAY, HOUR
from metering.windows import Granularity, boundaries
from metering.world import Mode, World
from tests.histories import CUSTOMERS, START_US, TYPES, Arrival, History, cutoff_ends, histories

PRO = where({"fields": [{"property": "plan", "operator": "in", "value": "pro,team"}]})
POSITIVE = where({"fields": [{"property": "amount", "operator": "gt", "value": 0}]})
TEAM = where({"fields": [{"property": "plan", "operator": "equals", "value": "team"}]})
COUNT = Aggregator("call", Operation.COUNT)
SUM = Aggregator("call", Operation.SUM, "amount")
AGGREGATORS = [COUNT, SUM, Aggregator("seat", Operation.SUM, "amount", PRO), Aggregator("seat", Operation.COUNT)]
ALL = (30, 30)

slow_store = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_world():
    return World(new_id("acc"), Mode.PROD)


def model(history, scope, aggregator):
    return total_of(aggregator, [arrival.record for arrival in rows(history, scope, aggregator)])


def rows(history, scope, aggregator):
    found = [
        (arrival.timestamp_us, arrival.record_id, arrival)
        for _, arrival in history.current(scope.cutoff)
        if arrival.event_type == aggregator.entity
        and (scope.start_us is None or scope.start_us <= arrival.timestamp_us < scope.end_us)
        and (scope.customer_ids is None or arrival.customer_id in scope.customer_ids)
    ]
    return [arrival for _, _, arrival in sorted(found, key=lambda row: row[:2])]


@pytest.mark.slow
@slow_store
@given(histories, st.lists(cutoff_ends, min_size=1, max_size=4), st.integers(0, 60), st.integers(1, 40))
def test_every_figure_is_that_of_the_model(store, history, ends, first_day, days):
    """Totals, series, customers, groups and values agree, for some or all customers and at each cut-off."""
    world = a_world()
    history.write(store, world)
    reader = UsageReader(store)
    start, end = START_US + first_day * DAY, START_US + (first_day + days) * DAY
    for cutoff in map(history.cutoff, ends):
        for scope in (Scope(world, cutoff, start, end, CUSTOMERS[:2]), Scope(world, cutoff)):
            assert reader.totals(scope, AGGREGATORS) == [model(history, scope, each) for each in AGGREGATORS]

            by_customer = {
                customer: model(history, Scope(world, cutoff, scope.start_us, scope.end_us, [customer]), SUM)
                for customer in scope.customer_ids or CUSTOMERS
            }
            assert reader.by_customer(scope, SUM) == {who: usage for who, usage in by_customer.items() if usage.count}

            groups = [EVERYTHING, TEAM, PRO, POSITIVE]
            assert reader.by_group(scope, SUM, groups) == model_groups(history, scope, groups)

            values = [value_of(arrival.record, "amount") or Decimal(0) for arrival in rows(history, scope, SUM)]
            assert list(reader.values(scope, SUM)) == values

        scope = Scope(world, cutoff, start, end)
        edges = boundaries(Range(start, end, ZoneInfo("Asia/Kathmandu")), Granularity.DAY)
        windows = [Scope(world, cutoff, *edge) for edge in pairwise(edges)]
        assert reader.timeseries(scope, SUM, edges) == [model(history, window, SUM) for window in windows]


def model_groups(history, scope, groups):
    members = [[] for _ in groups]
    for arrival in rows(history, scope, SUM):
        filtered = (index for index, group in enumerate(groups) if group.conditions and matches(group, arrival.record))
        members[next(filtered, 0)].append(arrival.record)
    return [total_of(SUM, group) for group in members]


def test_sums_keep_every_digit_and_never_wrap(store):
    """A thousand of the greatest values there are, with all their decimals."""
    greatest = Decimal("99999999999999999999.999999999999999999")
    world = a_world()
    history = History([Arrival(key * 2, amount=greatest) for key in range(1000)])
    history.write(store, world)
    usage = UsageReader(store).total(Scope(world, history.cutoff((1001, 1001))), SUM)
    assert str(usage.total) == "99999999999999999999999.999999999999999"
    assert usage == Usage(Decimal("99999999999999999999999.999999999999999000"), 1000)


def test_what_is_no_number_adds_nothing_and_is_counted(store):
    """Text, null and booleans add 0; the figure says how many there were."""
    world = a_world()
    values = [Decimal("1.50"), "2", "x", None, True]
    history = History([Arrival(index * 2, amount=value) for index, value in enumerate(values)])
    history.write(store, world)
    usage = UsageReader(store).total(Scope(world, history.cutoff(ALL)), SUM)
    assert usage == Usage(Decimal("3.5"), 5, 3)
    assert str(usage.total) == "3.5"


def test_nothing_is_zero(store):
    """A world without events, and a cut-off before everything."""
    world = a_world()
    reader = UsageReader(store)
    assert reader.totals(Scope(world, Cutoff({})), AGGREGATORS) == [Usage(Decimal(0), 0)] * 4
    assert reader.totals(Scope(world, Cutoff({})), []) == []
    assert reader.by_group(Scope(world, Cutoff({})), SUM, [PRO, EVERYTHING]) == [Usage(Decimal(0), 0)] * 2
    assert reader.spans(world, Cutoff({})) == []
    assert list(reader.values(Scope(world, Cutoff({})), SUM)) == []


def test_many_aggregators_are_read_in_several_statements(store):
    """More figures than one statement holds come in order all the same."""
    world = a_world()
    history = History([Arrival(0, amount=Decimal(2)), Arrival(2, amount=Decimal(3))])
    history.write(store, world)
    figures = UsageReader(store).totals(Scope(world, history.cutoff(ALL)), [COUNT, SUM] * 50)
    assert [int(figure.total) for figure in figures] == [2, 5] * 50


def test_groups_of_each_customer_come_at_once(store):
    """The matrix of all customers in one statement is the matrix of each."""
    world = a_world()
    history = History(
        [Arrival(key * 2, CUSTOMERS[key % 3], plan=("free", "team")[key % 2], amount=Decimal(key)) for key in range(6)]
    )
    history.write(store, world)
    scope = Scope(world, history.cutoff(ALL))
    found = UsageReader(store).by_customer_and_group(scope, SUM, [TEAM, EVERYTHING])
    for customer in CUSTOMERS:
        alone = Scope(world, scope.cutoff, customer_ids=[customer])
        assert found[customer] == UsageReader(store).by_group(alone, SUM, [TEAM, EVERYTHING])
    assert UsageReader(store).by_customer_and_group(scope, SUM, [POSITIVE])["cus_1"] == [Usage(Decimal(3), 1)]


def test_values_come_in_order_over_pages(store, monkeypatch):
    """By timestamp, then record id, with no value lost or doubled where pages meet."""
    monkeypatch.setattr("metering.store.usage.VALUES_PAGE", 7)
    world = a_world()
    history = History(
        [Arrival(key * 2, timestamp_us=START_US + key % 3 * HOUR, amount=Decimal(key)) for key in range(40)]
    )
    history.write(store, world)
    scope = Scope(world, history.cutoff((50, 50)))
    expected = [arrival.amount for arrival in rows(history, scope, SUM)]
    assert list(UsageReader(store).values(scope, SUM)) == expected


def test_spans_tell_where_the_data_is(store):
    """First and last timestamp of what is current, by type; what was corrected away does not count."""
    world = a_world()
    history = History(
        [
            Arrival(0, timestamp_us=START_US),
            Arrival(0, timestamp_us=START_US + 5 * DAY),
            Arrival(2, timestamp_us=START_US + 2 * DAY),
            Arrival(1, timestamp_us=START_US + 40 * DAY),
        ]
    )
    history.write(store, world)
    assert UsageReader(store).spans(world, history.cutoff(ALL)) == [
        Span(TYPES[0], START_US + 2 * DAY, START_US + 5 * DAY, 2),
        Span(TYPES[1], START_US + 40 * DAY, START_US + 40 * DAY, 1),
    ]


def test_another_world_is_never_seen(store):
    """Neither another account nor the other mode of the same one."""
    world = a_world()
    history = History([Arrival(0, amount=Decimal(1))])
    history.write(store, world)
    for other in (World(world.account_id, Mode.TEST), a_world()):
        assert UsageReader(store).total(Scope(other, history.cutoff(ALL)), COUNT).count == 0
