"""Figures read from the store are those of the model, at any cut-off, whatever was corrected, deleted or replayed."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering.aggregation import (
    READS_EARLIER,
    Aggregator,
    Occurrence,
    Operation,
    Usage,
    distinct_text,
    total_of,
    value_of,
)
from metering.filters import EVERYTHING, matches
from metering.filters import decode_filter as where
from metering.formulas import parse_formula
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
WORTH = parse_formula("round(amount / 7, 2) + if(plan = 'pro', 1, 0)")
EVERY = [Aggregator("call", operation, "amount") for operation in Operation]
AGGREGATORS = [
    *EVERY,
    Aggregator("seat", Operation.SUM, "amount", PRO),
    Aggregator("seat", Operation.COUNT),
    Aggregator("seat", Operation.WEIGHTED_SUM, "amount", PRO),
    Aggregator("call", Operation.UNIQUE, "plan"),
    *(Aggregator("call", operation, formula=WORTH) for operation in Operation),
    Aggregator("call", Operation.UNIQUE, "id", TEAM),
]
ALL = (30, 30)

slow_store = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_world():
    return World(new_id("acc"), Mode.PROD)


def model(history, scope, aggregator):
    return total_of(aggregator, [occurrence(*row) for row in placed(history, scope, aggregator)], scope.window)


def rows(history, scope, aggregator):
    return [arrival for _, arrival in placed(history, scope, aggregator)]


def placed(history, scope, aggregator):
    """Give position and arrival of the current events of a scope, in order; those before it too where these count."""
    earlier = aggregator.operation in READS_EARLIER
    found = [
        (arrival.timestamp_us, arrival.record_id, position, arrival)
        for position, arrival in history.current(scope.cutoff)
        if arrival.event_type == aggregator.entity
        and (scope.start_us is None or earlier or scope.start_us <= arrival.timestamp_us)
        and (scope.end_us is None or arrival.timestamp_us < scope.end_us)
        and (scope.customer_ids is None or arrival.customer_id in scope.customer_ids)
    ]
    return [row[2:] for row in sorted(found, key=lambda row: row[:2])]


def occurrence(position, arrival):
    return Occurrence(arrival.record, arrival.timestamp_us, position)


@pytest.mark.slow
@slow_store
@given(
    st.data(),
    histories,
    st.lists(cutoff_ends, min_size=1, max_size=3),
    st.tuples(st.integers(0, 60), st.integers(1, 40)),
)
def test_every_figure_is_that_of_the_model(store, data, history, ends, days):
    """Totals, series, customers, groups and values agree, for some or all customers and at each cut-off."""
    world = a_world()
    history.write(store, world)
    reader = UsageReader(store)
    start, end = START_US + days[0] * DAY, START_US + sum(days) * DAY
    for cutoff in map(history.cutoff, ends):
        for scope in (Scope(world, cutoff, start, end, CUSTOMERS[:2]), Scope(world, cutoff)):
            assert reader.totals(scope, AGGREGATORS) == [model(history, scope, each) for each in AGGREGATORS]

            aggregator = data.draw(st.sampled_from(AGGREGATORS))
            by_customer = {
                customer: model(history, replace(scope, customer_ids=[customer]), aggregator)
                for customer in scope.customer_ids or CUSTOMERS
            }
            told = {who: usage for who, usage in by_customer.items() if not usage.is_nothing}
            assert reader.by_customer(scope, aggregator) == told
            owned = model(history, replace(scope, customer_ids=CUSTOMERS[:2]), aggregator)
            one = {} if owned.is_nothing else {"owner": owned}
            assert reader.by_owner(scope, aggregator, {"owner": CUSTOMERS[:2]}) == one

            groups = [EVERYTHING, TEAM, PRO, POSITIVE]
            assert reader.by_group(scope, aggregator, groups) == model_groups(history, scope, aggregator, groups)

            for prop in ("plan", "amount", "id"):
                told = model_values(history, scope, aggregator, prop)
                assert reader.by_property(scope, aggregator, prop) == told

            values = [value_of(arrival.record, SUM) or Decimal(0) for arrival in rows(history, scope, SUM)]
            assert list(reader.values(scope, SUM)) == values

        aggregator = data.draw(st.sampled_from(AGGREGATORS))
        edges = boundaries(Range(start, end, ZoneInfo("Asia/Kathmandu")), Granularity.DAY)
        windows = [Scope(world, cutoff, *edge) for edge in pairwise(edges)]
        series = reader.timeseries(Scope(world, cutoff, start, end), aggregator, edges)
        assert series == [model(history, window, aggregator) for window in windows]


def model_groups(history, scope, aggregator, groups):
    members = [[] for _ in groups]
    for row in placed(history, scope, aggregator):
        record = row[1].record
        filtered = (index for index, group in enumerate(groups) if group.conditions and matches(group, record))
        members[next(filtered, 0)].append(occurrence(*row))
    return [total_of(aggregator, group, scope.window) for group in members]


def model_values(history, scope, aggregator, prop):
    unique, found = Aggregator(aggregator.entity, Operation.UNIQUE, prop), {}
    for row in placed(history, scope, aggregator):
        found.setdefault(distinct_text(row[1].record, unique), []).append(occurrence(*row))
    figures = {value: total_of(aggregator, group, scope.window) for value, group in found.items()}
    return {value: figure for value, figure in figures.items() if not figure.is_nothing}


def test_a_property_of_too_many_values_is_not_grouped(store, monkeypatch):
    """Only values of events that count are looked at; one more than the limit is too many."""
    world = a_world()
    history = History([Arrival(key * 2, amount=Decimal(key)) for key in range(5)])
    history.write(store, world)
    scope, reader = Scope(world, history.cutoff(ALL)), UsageReader(store)
    monkeypatch.setattr("metering.store.usage.VALUES_GROUPED_MAX", 4)
    assert len(reader.by_property(scope, replace(SUM, where=POSITIVE), "amount")) == 4
    assert reader.by_property(scope, SUM, "amount") is None


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


def test_each_operation_of_a_few_values(store):
    """Worked by hand: the level was 2 before, 5 from a quarter on and 1 in the last quarter; ties go to the last."""
    world = a_world()
    day = [START_US + DAY * quarter // 4 for quarter in range(5)]
    events = [
        Arrival(0, timestamp_us=START_US - DAY, amount=Decimal(2)),
        Arrival(2, timestamp_us=day[1], amount=Decimal(3)),
        Arrival(4, timestamp_us=day[3], amount="-4.0"),
        Arrival(6, timestamp_us=day[3], amount="x"),
        Arrival(8, timestamp_us=day[4], amount=Decimal(9)),
    ]
    history = History(events)
    history.write(store, world)
    scope = Scope(world, history.cutoff(ALL), day[0], day[4])
    totals = {each.operation.value: usage.total for each, usage in zip(EVERY, read(store, scope, EVERY), strict=True)}
    assert {name: str(total) for name, total in totals.items()} == {
        "count": "3",
        "sum": "-1",
        "max": "3",
        "min": "-4",
        "average": "-0.5",
        "latest": "-4",
        "unique": "3",
        "weighted_sum": "3.25",
    }


def read(store, scope, aggregators):
    return UsageReader(store).totals(scope, aggregators)


def test_an_average_is_rounded_once_half_away_from_zero(store):
    """Two thirds at 18 decimals, and a half of the last decimal goes away from zero."""
    world = a_world()
    history = History([Arrival(key * 2, amount=Decimal(value)) for key, value in enumerate(["-1", "-1", "0"])])
    history.write(store, world)
    average = Aggregator("call", Operation.AVERAGE, "amount")
    (usage,) = read(store, Scope(world, history.cutoff(ALL)), [average])
    assert str(usage.total) == "-0.666666666666666667"
    other = a_world()
    history = History(
        [Arrival(key * 2, amount=Decimal(value)) for key, value in enumerate(["-0.000000000000000001", "0"])]
    )
    history.write(store, other)
    (usage,) = read(store, Scope(other, history.cutoff(ALL)), [average])
    assert usage.total == Decimal("-0.000000000000000001")


def test_unique_values_are_told_apart_by_text(store):
    """A number and its text are one value, a boolean and its text too; null, arrays and nothing are none."""
    world = a_world()
    values = [Decimal(5), "5", "5.0", True, "true", None, "null", "", 'a"\\b', 'a"\\b', ["a"]]
    history = History([Arrival(key * 2, amount=value) for key, value in enumerate(values)])
    history.write(store, world)
    (usage,) = read(store, Scope(world, history.cutoff(ALL)), [Aggregator("call", Operation.UNIQUE, "amount")])
    assert usage == Usage(Decimal(6), 11, 2)
    assert model(history, Scope(world, history.cutoff(ALL)), Aggregator("call", Operation.UNIQUE, "amount")) == usage


def test_nothing_is_zero(store):
    """A world without events, and a cut-off before everything."""
    world = a_world()
    reader = UsageReader(store)
    nulls = {Operation.MAX, Operation.MIN, Operation.AVERAGE, Operation.LATEST}
    expected = [Usage(None if each.operation in nulls else Decimal(0), 0) for each in AGGREGATORS]
    assert reader.totals(Scope(world, Cutoff({})), AGGREGATORS) == expected
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
