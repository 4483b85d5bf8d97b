from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.decimals import exact_number, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", "5"),
        ("-0", "0"),
        ("1.50", "1.5"),
        ("15e-1", "1.5"),
        ("1.5E+2", "150"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("1." + "0" * 36, "1"),
        ("0e-19", "0"),
        ("1000e-19", "0.0000000000000001"),
    ],
)
def test_a_json_number_is_read_by_its_value(text, value):
    """However it is written, what counts is its value; plain text has one form."""
    number = exact_number(text)
    assert number == Decimal(value)
    assert plain(number) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 5",
        "5 ",
        "+5",
        "05",
        ".5",
        "5.",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "1_000",
        "\u0665",
        "1e20",
        "1e-19",
        "1e9999999",
    ],
)
def test_what_is_no_number_within_the_limits_is_none(text):
    """JSON's grammar, |x| < 10^20, at most 18 decimals; all else is no number."""
    assert exact_number(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**19), max_value=10**19))
def test_plain_text_is_read_back(number):
    """What is written in plain form is read as the same value."""
    assert exact_number(plain(number)) == number
