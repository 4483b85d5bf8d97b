"""Which prices a customer gets."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.model import PriceConfiguration, PriceGroup
from billing.catalog.selection import Wanted, choose
from billing.interval import Interval
from metering.windows import Period

MONTH, YEAR = Interval.of(Period.MONTHS, 1), Interval.of(Period.YEARS, 1)


def a_price(name, *, currency="EUR", countries=None, interval=None, commitment=None, **more):
    group = PriceGroup(more.get("metering_filter"), ())
    within = more.get("book"), more.get("plan")
    return PriceConfiguration(name, currency, countries, interval, commitment, group, *within)


def chosen(configurations, *, currency="EUR", country="FR", interval=MONTH, **more):
    wanted = Wanted(currency, country, interval, more.get("commitment"), more.get("book"), more.get("plan"))
    return [one.id for one in choose(configurations, wanted)]


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
        ({"plan": "p"}, {"commitment": YEAR, "countries": ("FR",), "interval": MONTH}),
        ({"book": "b"}, {"plan": "p", "commitment": YEAR, "countries": ("FR",), "interval": MONTH}),
    ],
)
def test_the_more_specific_goes_first_whatever_the_order(specific, general):
    """Price book, plan, commitment, country, interval, in this order; and anything named before what is open to all."""
    pair, wanted = [a_price("specific", **specific), a_price("general", **general)], {"book": "b", "plan": "p"}
    assert chosen(pair, commitment=YEAR, **wanted) == chosen(pair[::-1], commitment=YEAR, **wanted) == ["specific"]


def test_a_price_book_without_a_match_gives_way_to_the_default_catalog():
    """But never to another price book, nor to the prices of a plan that was not taken."""
    default, other = a_price("default"), a_price("other", book="other")
    assert chosen([default, other, a_price("dear", book="b", currency="USD")], book="b") == ["default"]
    assert chosen([other, a_price("planned", plan="p")], book="b") == []


parameters = st.fixed_dictionaries(
    {
        "currency": st.sampled_from(["EUR", "USD"]),
        "countries": st.sampled_from([None, (), ("FR",), ("FR", "DE"), ("GB",)]),
        "interval": st.sampled_from([None, MONTH, YEAR]),
        "commitment": st.sampled_from([None, MONTH, YEAR]),
        "book": st.sampled_from([None, "b", "c"]),
        "plan": st.sampled_from([None, "p", "q"]),
    }
)


@given(
    st.lists(parameters, max_size=8),
    st.sampled_from([None, "FR", "GB", "JP"]),
    st.sampled_from([None, YEAR]),
    st.sampled_from([None, "b"]),
    st.sampled_from([None, "p"]),
)
def test_the_choice_is_that_of_a_plain_search(sent, country, commitment, book, plan):
    """Look for the best of all kinds in order: each kind says which of five parameters are named."""
    configurations = [a_price(str(index), **one) for index, one in enumerate(sent)]
    expected = []
    for kind in sorted(product((True, False), repeat=5), reverse=True):
        for one in configurations[::-1]:
            named = [one.price_book_id, one.plan_id, one.commitment_interval, one.countries, one.billing_interval]
            fits = one.currency == "EUR" and [value is not None for value in named] == list(kind)
            fits = fits and one.price_book_id in {None, book} and one.plan_id in {None, plan}
            fits = fits and one.commitment_interval in {None, commitment} and one.billing_interval in {None, MONTH}
            here = one.countries is None or (country in one.countries if country else one.countries == ())
            if fits and here and not expected:
                expected = [other.id for other in configurations if other.parameters == one.parameters]
    assert chosen(configurations, country=country, commitment=commitment, book=book, plan=plan) == expected


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
