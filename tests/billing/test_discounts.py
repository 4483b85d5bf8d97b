"""What coupons take off an invoice: never more than there is, and each finds what those before it left."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.coupons import CouponTerms, Repeat
from billing.interval import Interval
from billing.invoices.discounts import discount_lines
from billing.invoices.model import LineItem
from billing.periods import Cycle
from billing.pricing import EntryType
from billing.subscriptions.coupons import AppliedCoupon, Removal
from metering.timestamps import microseconds
from metering.windows import Period, Window
from metering.zones import zone_named

NOW = datetime(2026, 3, 20, tzinfo=UTC)
MONTH = Interval.of(Period.MONTHS, 1)
MONTHLY = Cycle(MONTH, zone_named("UTC"))


def a_coupon(*, amount=None, percent=None, products=None, repeat=Repeat.FOREVER, duration=None, removed=None):
    terms = CouponTerms(
        amount, None if amount is None else "EUR", None if percent is None else Decimal(percent), repeat, duration
    )
    removal = None if removed is None else Removal("supd_2", microseconds(removed), NOW)
    return AppliedCoupon("supd_1", "cou_1", "Spring", terms, products, microseconds(NOW), NOW, removal)


def a_line(product_id, signed, suffix=""):
    kind = EntryType.CREDIT if signed < 0 else EntryType.DEBIT
    return LineItem(product_id, product_id, kind, Decimal(1), "EUR", abs(signed), (), suffix)


def discounts(amounts, *coupons):
    lines = [a_line(name, signed, str(index)) for index, (name, signed) in enumerate(amounts)]
    found = discount_lines(lines, coupons, "EUR", Window(0, 1))
    assert all(sum(tier.amount for tier in line.tiers) == line.amount for line in found)
    return [line.amount for line in found]


@pytest.mark.parametrize(
    ("amounts", "coupons", "expected"),
    [
        ([("a", 3333)], [{"percent": "10"}], [333]),
        ([("a", 10000)], [{"amount": 500}], [500]),
        ([("a", 500)], [{"amount": 800}], [500]),
        ([("a", 0)], [{"amount": 800}], []),
        ([("a", 5), ("b", 5)], [{"percent": "10"}], [1]),
        ([("a", 1000), ("b", 500)], [{"percent": "50", "products": ("b",)}], [250]),
        ([("a", 1000), ("b", 500)], [{"amount": 800, "products": ("b",)}], [500]),
        ([("a", 1000)], [{"percent": "10"}, {"percent": "20"}], [100, 180]),
        ([("a", 1000), ("b", 500)], [{"amount": 600}, {"percent": "100", "products": ("b",)}], [600, 300]),
        ([("a", 1000), ("a", -400)], [{"percent": "10"}], [60]),
        ([("a", 1000), ("b", -900)], [{"percent": "50"}], [100]),
        ([("a", 1000), ("b", -1200)], [{"percent": "50"}], []),
    ],
)
def test_a_coupon_takes_off_at_most_what_there_is(amounts, coupons, expected):
    """Rounded once, of its products, and never of a total below 0."""
    assert discounts(amounts, *(a_coupon(**one) for one in coupons)) == expected


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-5_000, 9_000)), max_size=6),
    st.lists(st.one_of(st.integers(1, 9_000), st.fractions(0, 100).filter(bool)), max_size=4),
)
def test_the_total_is_never_below_0_because_of_a_coupon(amounts, coupons):
    """Whatever they are and however many; a total below 0 stays as it is."""
    made = [a_coupon(amount=one) if isinstance(one, int) else a_coupon(percent=round(float(one), 4)) for one in coupons]
    total = sum(signed for _, signed in amounts)
    assert max(total, 0) - sum(discounts(amounts, *made)) >= 0


@given(st.integers(1, 10**12), st.integers(1, 10_000))
def test_a_percentage_is_that_of_the_amount(amount, hundredths):
    """To the half of a unit."""
    taken = sum(discounts([("a", amount)], a_coupon(percent=Decimal(hundredths) / 100)))
    assert abs(taken - Fraction(amount * hundredths, 10_000)) <= Fraction(1, 2)


def month(number):
    year, index = divmod(number - 1, 12)
    return MONTHLY.holding(microseconds(datetime(2026 + year, index + 1, 2, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, [3, 4, 5, 6, 7]),
        ({"repeat": Repeat.ONCE}, [3]),
        ({"repeat": Repeat.DURATION, "duration": Interval.of(Period.MONTHS, 3)}, [3, 4, 5]),
        ({"removed": datetime(2026, 3, 25, tzinfo=UTC)}, []),
        ({"removed": datetime(2026, 4, 1, tzinfo=UTC)}, [3]),
        ({"removed": datetime(2026, 5, 25, tzinfo=UTC)}, [3, 4]),
    ],
)
def test_a_coupon_is_of_the_invoices_of_periods_at_whose_end_it_is_there(terms, expected):
    """From 20 March on; each month is paid, so once is March."""
    coupon = a_coupon(percent="10", **terms)
    found = [number for number in range(1, 8) if coupon.discounts(month(number), MONTH, MONTHLY, month(1).start_us)]
    assert found == expected
