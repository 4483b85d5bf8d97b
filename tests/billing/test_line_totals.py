from decimal import Decimal

import pytest

from billing.errors import AmountTooLargeError
from billing.money import AMOUNT_MAX
from billing.pricing import LineTotal, Terms, UnitPrices, bill_difference, line_total, percent_of, rate, read_prices


@pytest.mark.parametrize(
    ("amount", "discount", "tax_rate", "total"),
    [
        (10000, "500", "21", LineTotal(500, 9500, 1995, 11495)),
        (10000, "0", "20", LineTotal(0, 10000, 2000, 12000)),
        (20000, "0", "20", LineTotal(0, 20000, 4000, 24000)),
        (3333, "333.3", "20", LineTotal(333, 3000, 600, 3600)),
        (333, "0", "20", LineTotal(0, 333, 67, 400)),
        (10, "0", "5.5", LineTotal(0, 10, 1, 11)),
        (500, "800", "20", LineTotal(500, 0, 0, 0)),
        (1005, "0", "10", LineTotal(0, 1005, 101, 1106)),
        (0, "0", "20", LineTotal(0, 0, 0, 0)),
        (-1005, "100", "10", LineTotal(0, -1005, -101, -1106)),
    ],
)
def test_the_discount_comes_off_before_tax(amount: int, discount: str, tax_rate: str, total: LineTotal):
    """Section 11; a discount takes off at most the amount, and nothing of a credit."""
    assert line_total(amount, discount=Decimal(discount), tax_rate=Decimal(tax_rate)) == total


def test_a_discount_in_percent_is_rounded_once():
    """10 % of 3333 is 333.3."""
    discount = percent_of(3333, Decimal(10))
    assert line_total(3333, discount=discount, tax_rate=Decimal(20)).total == 3600


def test_tax_cannot_push_a_line_beyond_64_bits():
    """The amount alone would fit."""
    assert line_total(AMOUNT_MAX).total == AMOUNT_MAX
    with pytest.raises(AmountTooLargeError):
        line_total(AMOUNT_MAX, tax_rate=Decimal(20))


def prices(*rows: tuple[int, int | None, str]) -> UnitPrices:
    read = read_prices(
        [{"type": "volume", "from": lower, "to": upper, "amount": Decimal(amount)} for lower, upper, amount in rows]
    )
    assert isinstance(read, UnitPrices)
    return read


ALLOWANCE = prices((0, 1000, "0"), (1000, None, "10"))
SEATS = prices((0, None, "500"))
SUB_CENT = prices((0, None, "0.4"))


@pytest.mark.parametrize(
    ("of", "cumulative", "billed"),
    [
        (ALLOWANCE, [600, 1400, 2000, 2000, 1900, 2100], [0, 4000, 6000, 0, 0, 1000]),
        (ALLOWANCE, [1100], [1000]),
        (SEATS, [10, 12], [5000, 1000]),
        (SEATS, [10, 10], [5000, 0]),
        (SUB_CENT, [1, 2, 3], [0, 1, 0]),
    ],
)
def test_only_the_difference_is_billed(of: UnitPrices, cumulative: list[int], billed: list[int]):
    """Section 8: on cumulative amounts, never below 0, keeping the high-water mark."""
    previous, lines = 0, []
    for units in cumulative:
        line = bill_difference(rate(of, Decimal(units)), previous)
        assert sum(tier.amount for tier in line.tiers) == line.amount
        lines.append(line.signed_amount)
        previous += line.amount
    assert lines == billed


def test_the_difference_is_taken_after_the_clamps():
    """A capped window bills nothing once the cap is billed."""
    capped = rate(ALLOWANCE, Decimal(3000), Terms(max_amount=10000))
    assert bill_difference(capped, 4000).amount == 6000
    assert bill_difference(capped, 10000).amount == 0


def test_a_credit_makes_no_difference_line_below_zero():
    """The line is a debit of 0 whose tiers still add up."""
    line = bill_difference(rate(SEATS, Decimal(-3), Terms(allow_negative_values=True)), 0)
    assert (line.entry_type, line.amount, line.quantity) == ("debit", 0, -3)
    assert [tier.amount for tier in line.tiers] == [-1500, 1500]
