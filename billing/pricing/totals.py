"""From a line's amount to what is paid: the discount comes off before tax, and each of the two is rounded once."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.money import round_half_away, within_int64


@dataclass(frozen=True, slots=True)
class LineTotal:
    """Minor units throughout. `amount_excluding_tax` is after the discount; `total` is that and the tax."""

    discount: int
    amount_excluding_tax: int
    tax_amount: int
    total: int


def line_total(amount: int, *, discount: Decimal | Fraction = Decimal(0), tax_rate: Decimal = Decimal(0)) -> LineTotal:
    """Take the discount off and put the tax on.

    `amount` is below 0 for a credit. `discount` is exact minor units, 0 or more, and takes off at most the amount, so
    nothing of a credit. `tax_rate` is a percentage, 0 or more.

    Raises:
        AmountTooLargeError: the total does not fit 64 bits.
    """
    assert discount >= 0
    assert tax_rate >= 0
    taken = min(round_half_away(discount), max(amount, 0))
    before_tax = amount - taken
    tax = round_half_away(percent_of(before_tax, tax_rate))
    return LineTotal(taken, before_tax, tax, within_int64(before_tax + tax))


def percent_of(amount: int, percentage: Decimal) -> Fraction:
    """Give a percentage of an amount exactly, as for a discount of 10 %; nothing is rounded here."""
    return amount * Fraction(percentage) / 100
