"""What one event adds to the lines that it counts in."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.model import PriceGroup
from billing.interval import Interval
from billing.invoices.lines import BilledProduct, Counted, WindowUsage, charged, invoice_lines
from billing.marginal.lines import Others, marginal_price, touched_lines
from billing.marginal.model import CountedEvent
from billing.marginal.registry import Agreed
from billing.money import round_half_away, to_decimal
from billing.pricing import unrounded
from billing.subscriptions.model import Subscription, SubscriptionProduct
from billing.windows import Metering, MeteringIntervalType
from metering.aggregation import Aggregator, Occurrence, Operation, distinct_text, settled, total_of
from metering.registry.aggregators import AggregatorStatus, StoredAggregator
from metering.store.usage import PlacedValue
from metering.timestamps import microseconds
from metering.windows import Period
from metering.world import Mode, World

WORLD = World("acc_1", Mode.TEST)
START = datetime(2026, 3, 1, tzinfo=UTC)
NOON_US = microseconds(datetime(2026, 3, 10, 12, tzinfo=UTC))
MONTH = Interval.of(Period.MONTHS, 1)
CARD = {"name": "visa", "configuration": {"fields": [{"property": "card", "operator": "equals", "value": "visa"}]}}


def an_aggregator(operation=Operation.SUM, where=None, **details):
    return StoredAggregator(
        "agg_1", WORLD, "n", "call", operation, "n", where, None, AggregatorStatus.ACTIVE, START, START, details
    )


def a_product(*groups, **terms):
    agreed = {"count": Decimal(1), "min_amount": None, "max_amount": None, "min_committed_count": None, **terms}
    return SubscriptionProduct("spr_1", "itm_1", "agg_1", MONTH, groups=groups, **agreed)


def an_agreement(*products, aggregator=None, starts_at=START, cancelled_at=None, timezone="UTC"):
    subscription = Subscription(
        "sub_1", WORLD, "cus_1", None, "EUR", timezone, None, starts_at, cancelled_at, products, START, START
    )
    return Agreed(["cus_1"], [subscription], {"agg_1": aggregator or an_aggregator()})


def an_event(n=1, record_id="r1", timestamp_us=NOON_US, **record):
    return CountedEvent("cus_1", "call", record_id, timestamp_us, {"id": record_id, "n": n, **record})


def priced_one_by_one(events, agreed):
    """Give the sum of what each event adds on top of those before it, and the line with all and with none."""
    (line,) = touched_lines(events[0], agreed)
    operation = line.aggregator.operation
    groups = [[] for _ in line.product.groups]
    values, total = [], Decimal(0)
    for event in events:
        (touched,) = touched_lines(event, agreed)
        figures = [figure_of(operation, group, event, touched.window) for group in groups]
        total += marginal_price(event, touched, Others(figures, sorted(values) if line.needs_values else None)).amount
        groups[touched.group].append(event)
        worth = 1 if operation is Operation.COUNT else event.record["n"]
        values.append(PlacedValue(event.timestamp_us, event.record_id, Decimal(worth)))
    allows = line.aggregator.details.get("allow_negative_values") is True
    ordered = [one.value for one in sorted(values)] if line.needs_values else None
    totals = [figure_of(operation, group, events[0], line.window).rated for group in groups]
    if line.needs_values and operation not in {Operation.SUM, Operation.COUNT}:
        ordered = totals
    return total, Counted(totals, ordered, allows), Counted([Decimal(0)] * len(groups), ordered and [], allows)


def figure_of(operation, events, following, window):
    """Give the figure of events in the order they came, as the store gives it to whom one more event follows."""
    occurrences = [Occurrence(event.record, event.timestamp_us, at) for at, event in enumerate(events)]
    aggregator = Aggregator("call", operation, "n")
    usage = total_of(aggregator, occurrences, window)
    numbers = [Decimal(event.record["n"]) for event in events]
    parts = (usage.total,)
    if operation is Operation.AVERAGE:
        parts = (sum(numbers, start=Decimal(0)),)
    elif operation is Operation.LATEST:
        parts = (usage.total, *max(((one.timestamp_us, one.position) for one in occurrences), default=(None, None)))
    elif operation is Operation.UNIQUE:
        texts = [distinct_text(event.record, aggregator) for event in events]
        parts = (usage.total, Decimal(texts.count(distinct_text(following.record, aggregator))))
    elif operation is Operation.WEIGHTED_SUM:
        moments = (number * event.timestamp_us for number, event in zip(numbers, events, strict=True))
        parts = (None, sum(numbers, start=Decimal(0)), sum(moments, start=Decimal(0)))
    told = settled(operation, parts, usage.count, usage.not_numbers, window)
    assert told == usage
    return told


def exact(product, counted):
    return unrounded(*charged(product, counted, Fraction(1)))


def tiers(model, amounts, upper, **more):
    first = {"type": model, "from": 0, "to": upper, "amount": amounts[0], **more}
    return [first, {"type": model, "from": upper, "to": None, "amount": amounts[1], **more}]


prices = st.decimals(0, 500, places=2)
modes = st.sampled_from([None, "pay_in_full", "do_not_charge"])
graduated = st.builds(
    lambda model, amounts, upper, units, mode: tiers(
        model, amounts, upper, unit_count=units, **({} if mode is None else {"on_tier_incomplete": mode})
    ),
    st.sampled_from(["volume", "packaged", "bulk"]),
    st.tuples(prices, prices),
    st.integers(1, 40),
    st.sampled_from([1, 3, 7, 20]),
    modes,
)
percentages = st.builds(
    lambda amounts, upper: [
        {"type": "bps", "from": 0, "to": upper, "percentage": amounts[0]},
        {"type": "bps", "from": upper, "to": None, "percentage": amounts[1]},
    ],
    st.tuples(prices, prices),
    st.integers(1, 40),
)
each = st.builds(
    lambda percentage, floor, fee: [
        {"type": "bps", "from": 0, "to": 30, "percentage": percentage, "per_unit_floor": floor, "per_unit_fee": fee},
        {"type": "bps", "from": 30, "to": None, "percentage": 1, "per_unit_cap": 20},
    ],
    prices,
    prices,
    prices,
)
terms = st.fixed_dictionaries(
    {},
    optional={
        "min_amount": st.integers(0, 300),
        "max_amount": st.integers(300, 900),
        "min_committed_count": st.integers(1, 20).map(Decimal),
    },
)
numbers = st.lists(st.decimals(-20, 60, places=3), min_size=1, max_size=12)


@settings(max_examples=40)
@given(st.one_of(graduated, percentages, each), terms, numbers, st.booleans(), st.data())
def test_the_prices_of_all_events_add_up_to_the_line(rows, agreed_terms, amounts, allows, data):
    """In whichever order they came, to what the line owes before rounding, beyond what it owes without any event."""
    product = a_product(PriceGroup(None, rows), **agreed_terms)
    operation = data.draw(st.sampled_from(Operation))
    agreed = an_agreement(product, aggregator=an_aggregator(operation, allow_negative_values=allows))
    events = [an_event(n, f"r{index}", NOON_US + index % 5) for index, n in enumerate(amounts)]
    total, everything, nothing = priced_one_by_one(data.draw(st.permutations(events)), agreed)
    assert total == to_decimal(exact(product, everything)) - to_decimal(exact(product, nothing))
    (line,) = invoice_lines([BilledProduct(product, "Calls", [WindowUsage(everything)])], "EUR", Fraction(1))
    assert line.signed_amount == round_half_away(exact(product, everything))


@settings(max_examples=30)
@given(graduated, graduated, numbers, st.data())
def test_the_groups_of_a_matrix_add_up_together(visa, rest, amounts, data):
    """Each event is charged by the group that it belongs to."""
    product = a_product(PriceGroup(CARD, visa), PriceGroup(None, rest))
    events = [
        an_event(n, f"r{index}", card=data.draw(st.sampled_from(["visa", "other"]))) for index, n in enumerate(amounts)
    ]
    total, everything, nothing = priced_one_by_one(events, an_agreement(product))
    assert total == to_decimal(exact(product, everything)) - to_decimal(exact(product, nothing))


def price_of(event, agreed, *totals):
    (line,) = touched_lines(event, agreed)
    return marginal_price(event, line, Others([used(line, one) for one in totals])).amount


def test_a_difference_is_never_below_0_from_its_first_period_on():
    """Refunds take nothing off where only what a window adds is billed, so an event costs what lies above them."""
    metering = Metering(MeteringIntervalType.SUBSCRIPTION_DURATION, bill_usage_difference=True)
    product = a_product(PriceGroup(None, tiers("bulk", (50, 30), 10)), metering=metering)
    agreed = an_agreement(product, aggregator=an_aggregator(allow_negative_values=True))
    assert price_of(an_event(6), agreed, -4) == 100
    assert price_of(an_event(3), agreed, -4) == 0


def used(line, total):
    return settled(line.aggregator.operation, (Decimal(str(total)),), 1, 0)


def test_a_price_is_not_rounded():
    """0.3 cents are 0.3, and a third of a cent has 18 decimals; the last event of a pack pays what is left of it."""
    agreed = an_agreement(a_product(PriceGroup(None, tiers("volume", (Decimal("0.3"), 1), 10))))
    assert price_of(an_event(1), agreed, 0) == Decimal("0.3")
    thirds = an_agreement(a_product(PriceGroup(None, tiers("volume", (1, 1), 3, unit_count=3))))
    assert [price_of(an_event(1), thirds, before) for before in (0, 1, 2)] == [
        Decimal("0.333333333333333333"),
        Decimal("0.333333333333333334"),
        Decimal("0.333333333333333333"),
    ]


def test_what_is_owed_without_any_event_is_no_events_price():
    """A minimum, a commitment and a tier that is paid in full are used up before events cost anything."""
    rows = tiers("volume", (50, 30), 5, on_tier_incomplete="pay_in_full")
    assert price_of(an_event(5), an_agreement(a_product(PriceGroup(None, rows))), 0) == 0
    plain = tiers("volume", (5, 5), 10)
    for terms_of in ({"min_amount": 30}, {"min_committed_count": Decimal(6)}):
        agreed = an_agreement(a_product(PriceGroup(None, plain), **terms_of))
        assert [price_of(an_event(4), agreed, before) for before in (0, 4)] == [0, 10]
    capped = an_agreement(a_product(PriceGroup(None, plain), max_amount=30))
    assert [price_of(an_event(4), capped, before) for before in (0, 4, 8)] == [20, 10, 0]


def test_a_bulk_event_can_lower_the_line():
    """The one that reaches the cheaper tier makes all units cheaper; a refund takes away."""
    agreed = an_agreement(a_product(PriceGroup(None, tiers("bulk", (50, 30), 10))))
    assert price_of(an_event(1), agreed, 10) == 11 * 30 - 500
    assert price_of(an_event(-2), agreed, 8) == -100


@pytest.mark.parametrize(
    ("when", "period"),
    [
        ("2026-02-28T23:59:59", None),
        ("2026-03-01T00:00:00", ("2026-03-01", "2026-04-01")),
        ("2031-07-31T23:59:59", ("2031-07-01", "2031-08-01")),
    ],
)
def test_an_event_is_in_the_period_that_holds_its_timestamp(when, period):
    """Before the subscription there is none; one that has not begun yet is as good as any."""
    timestamp_us = microseconds(datetime.fromisoformat(when + "+00:00"))
    agreed = an_agreement(a_product(PriceGroup(None, tiers("volume", (1, 1), 3))))
    windows = [line.window for line in touched_lines(an_event(timestamp_us=timestamp_us), agreed)]
    expected = (
        []
        if period is None
        else [tuple(microseconds(datetime.fromisoformat(f"{day}T00:00:00+00:00")) for day in period)]
    )
    assert windows == expected


def test_nothing_is_owed_after_a_subscription_has_ended():
    """The instant at which it was cancelled is outside."""
    rows = PriceGroup(None, tiers("volume", (1, 1), 3))
    ended = an_agreement(a_product(rows), cancelled_at=datetime(2026, 3, 10, 12, tzinfo=UTC))
    assert touched_lines(an_event(), ended) == []
    assert len(touched_lines(an_event(timestamp_us=NOON_US - 1), ended)) == 1


def test_an_event_that_no_filter_lets_through_costs_nothing():
    """Neither the aggregator's nor any group's; the group that takes it is named."""
    where = {"fields": [{"property": "n", "operator": "gt", "value": 5}]}
    plain = tiers("volume", (1, 1), 3)
    filtered = an_agreement(a_product(PriceGroup(None, plain)), aggregator=an_aggregator(where=where))
    assert touched_lines(an_event(5), filtered) == []
    matrix = an_agreement(a_product(PriceGroup(CARD, plain)))
    assert touched_lines(an_event(card="other"), matrix) == []
    (line,) = touched_lines(an_event(card="visa"), matrix)
    assert marginal_price(an_event(card="visa"), line, Others([used(line, 0)])).group.name == "visa"


def test_each_event_counts_one_where_events_are_counted():
    """Whatever it holds."""
    agreed = an_agreement(
        a_product(PriceGroup(None, tiers("volume", (7, 1), 3))), aggregator=an_aggregator(Operation.COUNT)
    )
    assert price_of(an_event("no number"), agreed, 0) == 7
    assert price_of(an_event(), agreed, 3) == 1
