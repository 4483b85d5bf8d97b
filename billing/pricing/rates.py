"""Divide amounts by unit counts without rounding: all rates of one price over one common denominator.

A rate such as 100 per 3 units has no end in decimals. Kept as 100 over a denominator of 3, sums and products of
rates stay exact Decimals, and the one division comes last, inside the one rounding.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import lcm

from billing.money import MONEY

DENOMINATOR_BITS_MAX = 13_280
"""About 10^4000: what `billing.money.PRECISION_DIGITS` leaves room for."""


def over_common_denominator(rates: Sequence[Fraction]) -> tuple[list[Decimal], int] | None:
    """Give numerators and the denominator they share; None if it would grow beyond all use.

    The denominator holds no factor 2 or 5, for those end in decimals: it is 1 for most prices.
    """
    denominator = common_denominator([_without_twos_and_fives(rate.denominator) for rate in rates])
    if denominator is None:
        return None
    return [_decimal(rate * denominator) for rate in rates], denominator


def common_denominator(denominators: Sequence[int]) -> int | None:
    """Give the least common multiple; None if it would grow beyond all use."""
    common = 1
    for denominator in denominators:
        common = lcm(common, denominator)
        if common.bit_length() > DENOMINATOR_BITS_MAX:
            return None
    return common


def _without_twos_and_fives(number: int) -> int:
    for prime in (2, 5):
        while number % prime == 0:
            number //= prime
    return number


def _decimal(ratio: Fraction) -> Decimal:
    """Write a ratio whose denominator has no other factors than 2 and 5 as the Decimal it is."""
    if ratio.denominator == 1:
        return Decimal(ratio.numerator)
    places = ratio.denominator.bit_length()  # 2^a * 5^b ends within a + b decimals, and has at least as many bits.
    scaled, rest = divmod(ratio.numerator * 10**places, ratio.denominator)
    assert not rest
    return MONEY.normalize(MONEY.scaleb(Decimal(scaled), -places))
