"""The lines of an invoice, from what was agreed and what was counted."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.model import PriceGroup
from billing.errors import AmountTooLargeError
from billing.interval import Interval
from billing.invoices.lines import BilledProduct, Counted, WindowUsage, invoice_lines
from billing.invoices.model import Invoice, InvoiceStatus, invoice_id, subscription_of
from billing.pricing import EntryType
from billing.subscriptions.model import SubscriptionProduct
from metering.windows import Period

MONTH = Interval.of(Period.MONTHS, 1)
WHOLE = Fraction(1)
VISA = {"name": "visa", "configuration": {"conditional": "and", "fields": []}}


def rows(amount, model="volume", **more):
    return [{"type": model, "from": 0, "to": None, "amount": amount, **more}]


def a_product(*groups, counted=None, name="Calls", **terms):
    agreed = {"count": Decimal(1), "min_amount": None, "max_amount": None, "min_committed_count": None, **terms}
    matrix = [PriceGroup(VISA if len(groups) > 1 else None, one) for one in groups]
    aggregator = None if counted is None else "agg_1"
    totals = None if counted is None else [WindowUsage(Counted([Decimal(str(one)) for one in counted]))]
    return BilledProduct(
        SubscriptionProduct("spr_1", "itm_1", aggregator, MONTH, groups=matrix, **agreed), name, totals
    )


def line(product, share=WHOLE):
    (only,) = invoice_lines([product], "EUR", share)
    assert sum(tier.amount for tier in only.tiers) == only.amount
    return only


def fee(amount):
    return [{"type": "fee", "amount": amount}]


@pytest.mark.parametrize(
    ("amount", "count", "share", "expected"),
    [
        (10000, 1, WHOLE, 10000),
        (30000, 1, Fraction(10, 30), 10000),
        (10000, 1, Fraction(10, 31), 3226),
        (20000, 3, WHOLE, 60000),
        (Decimal("99.5"), 1, WHOLE, 100),
        (Decimal("0.5"), 1, WHOLE, 1),
        (10000, 3, Fraction(1, 3), 10000),
        (10000, 0, WHOLE, 0),
    ],
)
def test_a_fee_is_owed_for_the_days_and_rounded_once(amount, count, share, expected):
    """Half away from zero; three thirds are the whole."""
    billed = line(a_product(fee(amount), count=Decimal(count)), share)
    assert (billed.amount, billed.units_count, billed.entry_type) == (expected, count, EntryType.DEBIT)


def test_usage_is_not_prorated():
    """Nor are its minimum, maximum and commitment."""
    share = Fraction(1, 31)
    assert line(a_product(rows(5), counted=[100]), share).amount == 500
    assert line(a_product(rows(5), counted=[0], min_amount=1000), share).amount == 1000
    assert line(a_product(rows(5), counted=[0], min_committed_count=Decimal(20)), share).amount == 100


def test_seats_are_prorated_before_they_are_rounded():
    """Tiers that do not divide evenly add up exactly: 10 seats at 0.33 for 1 of 3 days are 1.1, so 1."""
    seats = a_product(rows(Decimal("0.33")), count=Decimal(10))
    assert line(seats, Fraction(1, 3)).amount == 1
    assert line(seats).amount == 3


def test_groups_of_a_matrix_are_rated_apart_and_rounded_together():
    """0.4 of each of two groups are 0.8, so 1; without usage a group owes nothing."""
    assert line(a_product(rows(Decimal("0.4")), rows(Decimal("0.4")), counted=[1, 1])).amount == 1
    full = [{"type": "volume", "from": 0, "to": 5, "amount": 50, "on_tier_incomplete": "pay_in_full"}]
    full += [{"type": "volume", "from": 5, "to": None, "amount": 30}]
    assert line(a_product(full, rows(1), counted=[0, 7])).amount == 7
    assert line(a_product(full, counted=[0])).amount == 250


def test_an_amount_beyond_64_bits_names_its_product():
    """It is refused rather than wrapped."""
    with pytest.raises(AmountTooLargeError, match="product itm_1"):
        line(a_product(rows(10**18), counted=[10**3]))


def test_products_keep_their_order():
    """One line each, in the order of the agreement."""
    lines = invoice_lines([a_product(fee(1), name=name) for name in ("b", "a", "c")], "EUR", WHOLE)
    assert [one.name for one in lines] == ["b", "a", "c"]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=6))
def test_an_invoice_adds_up_its_debits_and_credits(amounts):
    """Credits count against the rest."""
    lines = [
        invoice_lines([a_product(rows(amount), counted=[-1 if credit else 1])], "EUR", WHOLE)[0]
        for amount, credit in amounts
    ]
    invoice = Invoice("inv_1", InvoiceStatus.OPEN, "cus_1", None, "sub_1", "EUR", 0, 1, lines)
    assert invoice.amount_excluding_tax == sum(amount for amount, credit in amounts if not credit)


@given(st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=24, max_size=24), st.integers(0, 10**16))
def test_an_invoice_id_leads_back_to_its_subscription(suffix, start_us):
    """And differs with the interval and the start."""
    subscription = f"sub_{suffix}"
    made = invoice_id(subscription, MONTH, start_us)
    assert subscription_of(made) == subscription
    assert made == invoice_id(subscription, MONTH, start_us)
    assert made not in {
        invoice_id(subscription, MONTH, start_us + 1),
        invoice_id(subscription, Interval.of(Period.MONTHS, 2), start_us),
    }
