"""What settles an advance: it telescopes, and its tiers add up."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import bill_difference, rate, read_prices, true_up
from billing.pricing.model import Terms

VOLUME = [
    {"type": "volume", "from": 0, "to": 10, "amount": Decimal("50.5")},
    {"type": "volume", "from": 10, "to": None, "amount": 20},
]
BULK = [{"type": "bulk", "to": 10, "amount": 50}, {"type": "bulk", "to": None, "amount": 30}]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 20), st.sampled_from([VOLUME, BULK]))
def test_true_ups_telescope(months, committed, rows):
    """Advances and true-ups of ended months are what their usage comes to; tiers add up to each line."""
    prices, terms = read_prices(rows), Terms(min_committed_count=Decimal(committed))
    rated = [rate(prices, Decimal(units), terms) for units in months]
    advances = [rate(prices, Decimal(0), terms), *rated]
    settled = [true_up(actual, advance) for actual, advance in zip(rated, advances, strict=False)]
    for line, actual, advance in zip(settled, rated, advances, strict=False):
        assert sum(tier.amount for tier in line.tiers) == line.amount
        assert line.signed_amount == actual.amount - advance.amount
        assert max(0, line.signed_amount) == bill_difference(actual, advance.amount).amount
    total = sum(line.signed_amount for line in settled) + sum(one.amount for one in advances[: len(months)])
    assert total == sum(one.amount for one in rated)
