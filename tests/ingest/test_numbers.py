from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ingest.canonical import canonical_number
from ingest.numbers import plain_number

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@given(NUMBERS)
def test_the_plain_form_is_the_same_value(text):
    """Within the limits exactly when the value is, computed with fractions; nothing is rounded."""
    value = Fraction(text)
    within = abs(value) < 10**20 and (value * 10**18).denominator == 1
    plain = plain_number(text)
    assert (plain is not None) == within
    if plain is not None:
        assert Fraction(plain) == value
        assert plain_number(plain) == plain == canonical_number(plain)
        assert "e" not in plain.lower()
        assert plain != "-0"
        assert not ("." in plain and plain.endswith(("0", ".")))


@given(NUMBERS)
def test_the_consumer_gives_the_same_form(text):
    """What the gateway lets through comes out of canonical_number alike."""
    plain = plain_number(text)
    if plain is not None:
        assert canonical_number(text) == plain


def test_what_is_no_number_has_no_plain_form():
    """JSON's grammar, nothing else."""
    for text in ("", "-", "01", "1.", ".5", "+1", "1e", "NaN", "Infinity", "0x1", "1_0", "\u0661", " 1", "1\n"):
        assert plain_number(text) is None


def test_an_exponent_costs_nothing():
    """Neither a huge one nor one with thousands of digits."""
    assert plain_number("1e999999999999") is None
    assert plain_number("1e-" + "9" * 60_000) is None
    assert plain_number("0e" + "9" * 60_000) == "0"
    assert plain_number("1" + "0" * 60_000 + "e-60000") == "1"
