"""How figures, instants and strange texts read."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from deploy.pages.clock_text import age_text, clock_time, list_time, machine_time, period_text, window_text
from deploy.pages.quantities import compact, money, quantity
from deploy.pages.visible import short, visible
from metering.timestamps import microseconds, parse_iso
from metering.windows import Granularity

unhurried = settings(deadline=None)

PARIS = ZoneInfo("Europe/Paris")
INSTANT_US = microseconds(datetime(2026, 11, 21, 13, 49, 53, 34_807, tzinfo=UTC))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (Decimal("-1234567.50"), "\N{MINUS SIGN}1,234,567.5"),
        (Decimal("1E+6"), "1,000,000"),
        (Decimal("1E-18"), "0.000000000000000001"),
        (None, "\N{EN DASH}"),
    ],
)
def test_quantities(number, text):
    """Grouped by thousands, without an exponent and without zeros that say nothing."""
    assert quantity(number) == text


@unhurried
@given(st.decimals(-(10**38), 10**38, places=18))
def test_a_quantity_keeps_every_digit(number):
    """What is read off the page is the number."""
    assert Decimal(quantity(number).replace(",", "").replace("\N{MINUS SIGN}", "-")) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (950, "950"), (12_500, "12.5k"), (2_000_000, "2M"), (-1_500, "\N{MINUS SIGN}1.5k"), (10**16, "10,000T")],
)
def test_axis_numbers(number, text):
    """Short, for the axis alone."""
    assert compact(number) == text


@pytest.mark.parametrize(
    ("amount", "currency", "exponent", "text"),
    [
        (255_750, "EUR", 2, "€2,557.50"),
        (-1, "USD", 2, "\N{MINUS SIGN}$0.01"),
        (12_065, "XOF", 0, "F\N{NARROW NO-BREAK SPACE}CFA\N{NO-BREAK SPACE}12,065"),
        (1_005, "KWD", 3, "KWD\N{NO-BREAK SPACE}1.005"),
        (2**63 - 1, "EUR", 2, "€92,233,720,368,547,758.07"),
        (0, "JPY", 0, "¥0"),
    ],
)
def test_money(amount, currency, exponent, text):
    """Whole minor units become the currency's own digits, exactly."""
    assert money(amount, currency, exponent) == text


def test_instants():
    """Each way to write one says the same instant."""
    assert clock_time(INSTANT_US) == "2026-11-21 13:49:53.034807 UTC"
    assert clock_time(INSTANT_US, PARIS) == "2026-11-21 14:49:53.034807 CET"
    assert list_time(INSTANT_US) == "2026-11-21 13:49:53.034"
    assert parse_iso(machine_time(INSTANT_US)) == INSTANT_US


@pytest.mark.parametrize(
    ("start", "end", "zone", "text"),
    [
        ("2026-11-01", "2026-12-01", "UTC", "1 Nov 2026 to 30 Nov 2026"),
        ("2026-11-21", "2026-11-22", "UTC", "21 Nov 2026"),
        ("2026-10-31T23:00Z", "2026-11-30T23:00Z", "Europe/Paris", "1 Nov 2026 to 30 Nov 2026"),
        ("2026-11-01T06:30", "2026-12-01", "UTC", "1 Nov 2026, 06:30 to 1 Dec 2026"),
    ],
)
def test_periods(start, end, zone, text):
    """Whole days are named by the first and the last of them, on the zone's own calendar."""
    assert period_text(parse_iso(start), parse_iso(end), ZoneInfo(zone)) == text


def test_an_hour_that_comes_twice_is_told_apart():
    """In the night the clocks are turned back, the zone's letters say which it is."""
    first, second = (parse_iso(text) for text in ("2026-10-25T00:00Z", "2026-10-25T01:00Z"))
    assert window_text(first, Granularity.HOUR, PARIS) == "2026-10-25 02:00 CEST"
    assert window_text(second, Granularity.HOUR, PARIS) == "2026-10-25 02:00 CET"


def test_ages():
    """One unit, the largest that fits."""
    assert [age_text(timedelta(seconds=count)) for count in (0, 1, 90, 7_200, 90_000)] == [
        "0 seconds",
        "1 second",
        "1 minute",
        "2 hours",
        "1 day",
    ]


def test_markup_is_escaped_and_direction_isolated():
    """Text is put into an element that keeps its direction to itself."""
    assert visible("<b>") == Markup("<bdi>&lt;b&gt;</bdi>")


def test_unseen_characters_are_named():
    """Controls and marks of direction are shown; what emoji are joined with is left."""
    assert "U+202E" in visible("a\u202eb")
    assert "U+0000" in visible("\0")
    assert "U+" not in visible("👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 é شد‌ن")


@unhurried
@given(st.text())
def test_any_text_becomes_harmless_markup(text):
    """There is no character that gets through as markup."""
    shown = visible(text)
    assert set(Markup(shown).striptags()) <= set(f"{text}U+0123456789ABCDEF↵ ")
    assert shown.count("<") == shown.count("</") * 2


def test_lists_show_the_beginning():
    """A long text is cut and says so."""
    assert short("x" * 500).endswith("…</bdi>")
    assert "characters more" in visible("x" * 200_000)
