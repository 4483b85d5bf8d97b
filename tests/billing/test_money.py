import threading
from decimal import Decimal, Inexact, getcontext, localcontext
from fractions import Fraction

import pytest
from babel.numbers import list_currencies

from billing.errors import AmountTooLargeError, InvalidPriceError
from billing.money import (
    AMOUNT_MAX,
    MINOR_DIGITS,
    MONEY,
    allocate,
    minor_digits,
    read_currency,
    round_half_away,
    within_int64,
)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        ("0", 0),
        ("0.4999", 0),
        ("0.5", 1),
        ("1.5", 2),
        ("2.5", 3),
        ("-0.5", -1),
        ("-2.5", -3),
        ("-2.4999999999999999999999999999999999999999", -2),
        ("99999999999999999999999999999999999999.5", 10**38),
    ],
)
def test_a_half_rounds_away_from_zero(value: str, rounded: int):
    """Decimals and fractions round alike, whatever their length."""
    assert round_half_away(Decimal(value)) == rounded
    assert round_half_away(Fraction(value)) == rounded
    assert round_half_away(Decimal(value) * 7, 7) == rounded if len(value) < 20 else True


def test_rounding_over_a_denominator_never_rounds_twice():
    """A quotient just below a half stays below it however many nines it has."""
    assert round_half_away(Decimal(3 * 10**60 // 2 - 1), 3 * 10**60) == 0
    assert round_half_away(Decimal(3 * 10**60 // 2), 3 * 10**60) == 1
    assert round_half_away(Decimal(-(3 * 10**60 // 2)), 3 * 10**60) == -1


def test_rounding_and_splitting_do_not_follow_the_ambient_context():
    """A thread whose context keeps three digits gets the same amounts."""
    with localcontext() as ambient:
        ambient.prec = 3
        assert round_half_away(Decimal("123456789.5")) == 123456790
        assert round_half_away(Decimal("123456789.5"), 3) == 41152263
        assert allocate(246913580, [Decimal("123456789.6"), Decimal("123456790.4")]) == [123456790, 123456790]


def test_the_context_traps_what_would_lose_digits():
    """An inexact result and a float both raise."""
    with pytest.raises(Inexact):
        MONEY.divide(Decimal(1), Decimal(3))
    with localcontext(MONEY), pytest.raises(TypeError):
        Decimal(1) < 0.5  # noqa: B015
    assert getcontext().prec != MONEY.prec


def test_threads_share_the_context_safely():
    """Flags are all that operations write to it."""
    results: list[Decimal] = []
    threads = [
        threading.Thread(target=lambda: results.append(MONEY.multiply(Decimal(10**30 + 1), Decimal(10**30 - 1))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [Decimal(10**60 - 1)] * 8


def test_amounts_of_64_bits_pass_and_larger_ones_are_refused():
    """The bound is met exactly, and the message tells the size without writing out a million digits."""
    assert within_int64(AMOUNT_MAX) == 2**63 - 1
    assert within_int64(-AMOUNT_MAX) == -(2**63 - 1)
    for amount in (AMOUNT_MAX + 1, -AMOUNT_MAX - 1):
        with pytest.raises(AmountTooLargeError, match=r"10\^18"):
            within_int64(amount)
    with pytest.raises(AmountTooLargeError, match=r"10\^10000 "):
        within_int64(10**10_000)


@pytest.mark.parametrize(
    ("total", "shares", "denominator", "parts"),
    [
        (0, [], 1, []),
        (1, ["0.4", "0.4"], 1, [1, 0]),
        (2, ["0.5", "0.5", "0.5"], 1, [1, 1, 0]),
        (-2, ["-0.5", "-0.5", "-0.5"], 1, [-1, -1, 0]),
        (10, ["3.3", "3.4", "3.3"], 1, [3, 4, 3]),
        (100, ["100", "100", "100"], 3, [34, 33, 33]),
        (-100, ["-100", "-100", "-100"], 3, [-34, -33, -33]),
        (0, ["100.5", "-100.1"], 1, [100, -100]),
        (-1, ["100.1", "-100.6"], 1, [100, -101]),
        (7, ["7"], 1, [7]),
    ],
)
def test_the_largest_remainders_take_the_difference(total: int, shares: list[str], denominator: int, parts: list[int]):
    """Equal remainders are served in order, and a negative total is the mirror of the positive one."""
    assert allocate(total, [Decimal(share) for share in shares], denominator) == parts


def test_a_total_is_split_in_proportion_to_weights():
    """The shares are the weighted totals over the sum of the weights."""
    weights = [1, 2, 4]
    assert allocate(100, [Decimal(100 * weight) for weight in weights], sum(weights)) == [14, 29, 57]


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("EUR", 2), ("USD", 2), ("JPY", 0), ("XOF", 0), ("XPF", 0), ("KWD", 3), ("TND", 3), ("CLF", 4), ("MGA", 2)],
)
def test_a_currency_has_the_decimals_of_iso_4217(currency: str, digits: int):
    """Display alone asks for it."""
    assert minor_digits(currency) == digits


def test_the_decimals_named_by_the_specification_are_in_the_table():
    """Its two lists, letter for letter."""
    none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
    three = "BHD IQD JOD KWD LYD OMR TND"
    assert {minor_digits(code) for code in none.split()} == {0}
    assert {minor_digits(code) for code in three.split()} == {3}


def test_every_code_is_one_that_babel_knows():
    """A typing slip in the table would be a code that nobody else knows."""
    newer_than_babel = {"ZWG"}
    assert set(MINOR_DIGITS) - newer_than_babel <= list_currencies()
    assert len(MINOR_DIGITS) > 160


@pytest.mark.parametrize("value", [None, "", "eur", "EURO", "XXX", "XAU", 978, ["EUR"], {"EUR": 2}, "\ud800"])
def test_what_is_no_currency_is_refused_with_the_remedy(value: object):
    """The fault stands at the field and tells what to send."""
    with pytest.raises(InvalidPriceError, match="ISO 4217") as caught:
        read_currency(value)
    assert [tuple(fault.path) for fault in caught.value.faults] == [("currency",)]
