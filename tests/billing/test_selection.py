"""Which prices a customer gets."""

import pytest

from billing.catalog.model import PriceConfiguration, PriceGroup
from billing.catalog.selection import Wanted, choose
from billing.interval import Interval
from metering.windows import Period

MONTH, YEAR = Interval.of(Period.MONTHS, 1), Interval.of(Period.YEARS, 1)


def a_price(name, *, currency="EUR", countries=None, interval=None, commitment=None, metering_filter=None):
    return PriceConfiguration(name, currency, countries, interval, commitment, PriceGroup(metering_filter, ()))


def chosen(configurations, *, currency="EUR", country="FR", interval=MONTH, commitment=None):
    return [one.id for one in choose(configurations, Wanted(currency, country, interval, commitment))]


def test_nothing_matches_another_currency():
    """There is no conversion and no fallback."""
    assert chosen([a_price("eur")], currency="USD") == []


@pytest.mark.parametrize(
    ("specific", "general"),
    [
        ({"countries": ("FR",)}, {}),
        ({"interval": MONTH}, {}),
        ({"commitment": YEAR}, {}),
        ({"countries": ("FR",)}, {"interval": MONTH}),
        ({"commitment": YEAR}, {"countries": ("FR",), "interval": MONTH}),
        ({"countries": ("FR",), "interval": MONTH}, {"countries": ("FR",)}),
    ],
)
def test_the_more_specific_goes_first_whatever_the_order(specific, general):
    """Commitment before country before interval, and anything named before what is open to all."""
    pair = [a_price("specific", **specific), a_price("general", **general)]
    assert chosen(pair, commitment=YEAR) == chosen(pair[::-1], commitment=YEAR) == ["specific"]


def test_what_names_another_parameter_does_not_match():
    """A price of another country, interval or commitment is no candidate, however specific."""
    others = [
        a_price("country", countries=("GB",)),
        a_price("interval", interval=YEAR),
        a_price("commitment", commitment=YEAR),
    ]
    assert chosen(others) == []
    assert chosen([*others, a_price("all")]) == ["all"]


def test_no_countries_means_customers_without_one():
    """`[]` is for customers without a country, null for everybody."""
    prices = [a_price("nowhere", countries=()), a_price("everywhere")]
    assert chosen(prices, country=None) == ["nowhere"]
    assert chosen(prices, country="FR") == ["everywhere"]


def test_of_equals_the_newest_wins():
    """Two that name as much: the one that was given last."""
    assert chosen([a_price("old", countries=("FR", "DE")), a_price("new", countries=("FR", "IT"))]) == ["new"]


def test_a_year_is_twelve_months():
    """However it is written."""
    assert chosen([a_price("year", interval=YEAR)], interval=Interval.of(Period.MONTHS, 12)) == ["year"]


def test_configurations_that_differ_in_their_filter_alone_are_one_matrix_in_order():
    """And a price of another interval is no part of it."""
    matrix = [a_price("visa", metering_filter={"name": "visa"}), a_price("other", interval=YEAR), a_price("rest")]
    assert chosen(matrix) == ["visa", "rest"]
    assert chosen(matrix, interval=YEAR) == ["other"]
