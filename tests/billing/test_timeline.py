"""What a period bills of products that change, against a plain model that asks day by day."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.catalog.model import PriceGroup
from billing.interval import Interval
from billing.invoices.lines import BilledProduct, invoice_lines
from billing.periods import BillingCycleAlignment, Cycle, days_owed
from billing.subscriptions.changes import CalculationMethod, Change, ChangeType, Precision, share_left
from billing.subscriptions.model import Subscription, SubscriptionProduct
from metering.timestamps import DAY, HOUR, microseconds
from metering.windows import Period, Window
from metering.world import Mode, World

MONTH = Interval.of(Period.MONTHS, 1)
START = datetime(2026, 3, 1, tzinfo=UTC)
START_US = microseconds(START)
MARCH = Window(START_US, START_US + 31 * DAY)
PRO_RATA, FULL, NOTHING = CalculationMethod
DAYS, MILLISECONDS = Precision
COUNT, PRICES = ChangeType.UPDATE_COUNT, ChangeType.UPDATE_PRICES


def seats(amount):
    return (PriceGroup(None, ({"type": "volume", "from": 0, "to": None, "amount": amount},)),)


def on(day, *, hour=0):
    """Give an instant of March."""
    return START_US + (day - 1) * DAY + hour * HOUR


def a_change(kind, day, *, method=PRO_RATA, precision=DAYS, count=None, amount=None, hour=0):
    groups = None if amount is None else seats(amount)
    number = None if count is None else Decimal(count)
    return Change(f"supd_{day}", "spr_1", kind, on(day, hour=hour), method, precision, number, groups, START)


def a_product(*changes, count=1, amount=3100, **more):
    ends = {change.type: change for change in changes}
    added, removed = ends.get(ChangeType.ADD_PRODUCT), ends.get(ChangeType.REMOVE_PRODUCT)
    return SubscriptionProduct(
        "spr_1",
        "itm_1",
        None,
        MONTH,
        Decimal(count),
        more.get("min_amount"),
        more.get("max_amount"),
        None,
        seats(amount),
        added=added,
        removed=removed,
        changes=[change for change in changes if change not in (added, removed)],
        since_us=None if added is None else added.effective_us,
        until_us=None if removed is None else removed.effective_us,
    )


def lines(product, period=MARCH):
    subscription = Subscription(
        "sub_1", World("acc_1", Mode.TEST), "cus_1", None, "EUR", "UTC", None, START, None, [product], START, START
    )
    share = days_owed(period.start_us, subscription.cycle(MONTH)).share
    billed = [BilledProduct(one, "Seats", None) for one in subscription.billed_in(period, MONTH)]
    found = invoice_lines(billed, "EUR", share)
    assert all(sum(tier.amount for tier in line.tiers) == line.amount for line in found)
    return [(line.entry_type.value, line.units_count, line.amount) for line in found]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([a_change(COUNT, 11, count=3)], [("debit", 1, 3100), ("debit", 2, 4200)]),
        ([a_change(COUNT, 11, count=3, method=FULL)], [("debit", 1, 3100), ("debit", 2, 6200)]),
        ([a_change(COUNT, 11, count=3, method=NOTHING)], [("debit", 1, 3100)]),
        ([a_change(COUNT, 11, count=0)], [("debit", 1, 3100), ("credit", 1, 2100)]),
        ([a_change(COUNT, 1, count=2)], [("debit", 2, 6200)]),
        ([a_change(PRICES, 11, amount=6200)], [("debit", 1, 3100), ("debit", 1, 2100)]),
        ([a_change(PRICES, 11, amount=1000)], [("debit", 1, 3100), ("credit", 1, 1423)]),
        ([a_change(ChangeType.ADD_PRODUCT, 11)], [("debit", 1, 2100)]),
        ([a_change(ChangeType.ADD_PRODUCT, 11, method=FULL)], [("debit", 1, 3100)]),
        ([a_change(ChangeType.ADD_PRODUCT, 11, method=NOTHING)], [("debit", 1, 0)]),
        ([a_change(ChangeType.REMOVE_PRODUCT, 11)], [("debit", 1, 3100), ("credit", 1, 2100)]),
        ([a_change(ChangeType.REMOVE_PRODUCT, 11, method=FULL)], [("debit", 1, 3100), ("credit", 1, 3100)]),
        ([a_change(ChangeType.REMOVE_PRODUCT, 11, method=NOTHING)], [("debit", 1, 3100)]),
        (
            [a_change(COUNT, 16, count=2, hour=12, precision=MILLISECONDS)],
            [("debit", 1, 3100), ("debit", 1, 1550)],
        ),
    ],
)
def test_a_change_is_a_line_of_what_it_adds_or_gives_back(changes, expected):
    """31.00 a seat in a month of 31 days: from the 11th on 21 are left."""
    assert lines(a_product(*changes)) == expected


def test_the_next_period_is_whole_again():
    """With the count and the prices that it begins with."""
    april = Window(MARCH.end_us, MARCH.end_us + 30 * DAY)
    changes = [a_change(COUNT, 11, count=3, method=NOTHING), a_change(PRICES, 20, amount=100, method=NOTHING)]
    assert lines(a_product(*changes), april) == [("debit", 3, 300)]
    assert lines(a_product(a_change(ChangeType.REMOVE_PRODUCT, 11)), april) == []
    assert lines(a_product(a_change(ChangeType.ADD_PRODUCT, 11)), april) == [("debit", 1, 3100)]


def test_no_more_is_given_back_than_was_charged():
    """A product that was added free of charge is not refunded."""
    changes = [a_change(ChangeType.ADD_PRODUCT, 11, method=NOTHING), a_change(ChangeType.REMOVE_PRODUCT, 21)]
    assert lines(a_product(*changes)) == [("debit", 1, 0)]
    changes = [a_change(COUNT, 11, count=3, method=NOTHING), a_change(COUNT, 12, count=0, method=FULL)]
    assert lines(a_product(*changes)) == [("debit", 1, 3100), ("credit", 1, 3100)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(11, 4, NOTHING), (21, 2, PRO_RATA)], []),
        ([(11, 4, NOTHING), (21, 1, PRO_RATA)], [-1100]),
        ([(11, 4, NOTHING), (21, 5, PRO_RATA)], [1100]),
        ([(11, 4, NOTHING), (11, 6, PRO_RATA), (21, 5, PRO_RATA), (22, 3, PRO_RATA)], [4200, -1100, -1000]),
        ([(11, 1, NOTHING), (21, 2, PRO_RATA)], []),
        ([(11, 1, NOTHING), (21, 4, PRO_RATA)], [2200]),
        ([(11, 1, NOTHING), (21, 0, PRO_RATA), (22, 2, PRO_RATA)], [-1100, 1000]),
        ([(11, 5, FULL), (21, 3, PRO_RATA), (31, 5, NOTHING), (31, 2, FULL)], [9300, -2200, -3100]),
    ],
)
def test_what_was_not_charged_is_not_given_back(steps, expected):
    """And what was paid and not given back is not charged again; of 2 seats at 31.00 in a month of 31 days."""
    changes = [
        replace(a_change(COUNT, day, count=count, method=method), id=f"supd_{index}")
        for index, (day, count, method) in enumerate(steps)
    ]
    found = lines(a_product(*changes, count=2))
    assert [-amount if kind == "credit" else amount for kind, _, amount in found] == [6200, *expected]


def test_a_minimum_holds_for_what_the_product_costs():
    """Below it another seat costs nothing more."""
    product = a_product(a_change(COUNT, 11, count=2), a_change(COUNT, 21, count=4), min_amount=6200)
    assert lines(product) == [("debit", 1, 6200), ("debit", 1, 0), ("debit", 2, 2200)]


steps = st.lists(
    st.tuples(st.integers(2, 31), st.integers(0, 9), st.booleans()), max_size=5, unique_by=lambda step: step[0]
)


@given(steps, st.integers(0, 9), st.integers(0, 5000))
@settings(max_examples=200)
def test_pro_rata_by_days_is_what_each_day_costs(sent, count, amount):
    """Each day costs its share of what the product then is; lines are rounded one by one, so each may be half off."""
    changes, per_day, price = [], {}, amount
    for day, number, of_price in sorted(sent):
        changes.append(a_change(PRICES, day, amount=number) if of_price else a_change(COUNT, day, count=number))
    current = count
    by_day = {change.effective_us: change for change in changes}
    for day in range(1, 32):
        change = by_day.get(on(day))
        if change is not None and change.count is not None:
            current = int(change.count)
        if change is not None and change.groups is not None:
            price = change.groups[0].prices[0]["amount"]
        per_day[day] = Fraction(current * price, 31)
    found = lines(a_product(*changes, count=count, amount=amount))
    total = sum(-value if kind == "credit" else value for kind, _, value in found)
    assert abs(total - sum(per_day.values())) <= Fraction(len(found), 2)


@given(st.integers(0, 31 * 24 - 1))
def test_what_is_left_in_milliseconds_is_a_share_of_real_time(hours):
    """And in days the day of the change counts whole; in Paris a day of March has 23 hours."""
    utc = Cycle(MONTH, ZoneInfo("UTC"))
    instant = START_US + hours * HOUR
    assert share_left(instant, utc, MILLISECONDS) == 1 - Fraction(hours, 31 * 24)
    assert share_left(instant, utc, DAYS) == Fraction(31 - hours // 24, 31)
    paris = Cycle(MONTH, ZoneInfo("Europe/Paris"))
    assert share_left(START_US + hours * HOUR - HOUR, paris, MILLISECONDS) == 1 - Fraction(hours, 31 * 24 - 1) or (
        hours == 31 * 24 - 1
    )


def test_usage_is_divided_by_the_prices_of_its_time():
    """Each segment has a life of its own; by anniversaries as by the calendar."""
    changes = [a_change(PRICES, 11, amount=1), a_change(PRICES, 21, amount=2)]
    counted = SubscriptionProduct(
        "spr_1", "itm_1", "agg_1", MONTH, Decimal(1), None, None, None, seats(5), changes=changes
    )
    for alignment in BillingCycleAlignment:
        subscription = Subscription(
            "sub_1",
            World("acc_1", Mode.TEST),
            "cus_1",
            None,
            "EUR",
            "UTC",
            None,
            START,
            None,
            [counted],
            START,
            START,
            alignment,
        )
        found = subscription.billed_in(MARCH, MONTH)
        lives = [subscription.life(one) for one in found]
        assert [(life.starts_us, life.ends_us) for life in lives] == [
            (on(1), on(11)),
            (on(11), on(21)),
            (on(21), None),
        ]
        assert [one.groups[0].prices[0]["amount"] for one in found] == [5, 1, 2]
        assert len({one.line_key for one in found}) == 3
        (standing,) = subscription.standing_at(on(12))
        assert standing.groups[0].prices[0]["amount"] == 1
