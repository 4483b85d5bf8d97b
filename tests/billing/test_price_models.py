"""Every table of the pricing specification, sections 3 to 5, in minor units."""

from decimal import Decimal
from typing import Any

import pytest

from billing.errors import AmountTooLargeError, InvalidPriceError, RefusedPriceError
from billing.pricing import (
    MODELS,
    EventPrices,
    Rated,
    RatedTier,
    Terms,
    UnitPrices,
    credits_used,
    pipeline,
    rate,
    rate_events,
    rate_groups,
    read_prices,
    registry,
    share_of,
    whole_packs,
)

FULL, NONE = "pay_in_full", "do_not_charge"
CREDITS = Terms(allow_negative_values=True)


def tiers(model: str, *bounds: tuple[Any, ...], unit_count: str = "1") -> list[dict[str, Any]]:
    """Make rows of (upper bound or None, amount, mode if not pro rata)."""
    rows: list[dict[str, Any]] = []
    lower = Decimal(0)
    for upper, amount, *mode in bounds:
        rows.append(
            {
                "type": model,
                "from": lower,
                "to": None if upper is None else Decimal(upper),
                "percentage" if model == "bps" else "amount": Decimal(str(amount)),
                "unit_count": Decimal(unit_count),
                "on_tier_incomplete": mode[0] if mode else None,
            }
        )
        lower = Decimal(upper or 0)
    return rows


def rated(rows: list[dict[str, Any]], units: Any, terms: Terms | None = None) -> Rated:
    prices = read_prices(rows)
    assert isinstance(prices, UnitPrices)
    line = rate(prices, Decimal(str(units)), terms or Terms())
    assert sum(tier.amount for tier in line.tiers) == line.amount
    return line


def amount(rows: list[dict[str, Any]], units: Any, terms: Terms | None = None) -> int:
    return rated(rows, units, terms).signed_amount


def fee(value: str) -> list[dict[str, Any]]:
    return [{"type": "fee", "amount": Decimal(value)}]


@pytest.mark.parametrize(
    ("value", "terms", "expected"),
    [
        ("20000", Terms(), 20000),
        ("20000", Terms(count=Decimal(3)), 60000),
        ("12065", Terms(), 12065),
        ("1005", Terms(), 1005),
        ("99.5", Terms(), 100),
        ("0.5", Terms(), 1),
        ("30000", Terms(share=share_of(10, 30)), 10000),
        ("10000", Terms(share=share_of(10, 31)), 3226),
        ("10000", Terms(share=share_of(0, 31)), 0),
        ("10000", Terms(share=share_of(864_000_000, 2_678_400_000)), 3226),
        ("1000000000000", Terms(), 10**12),
    ],
)
def test_a_fee_is_its_amount_whatever_is_used(value: str, terms: Terms, expected: int):
    """Count and share of the period multiply it; units, even negative ones, do not."""
    for units in (0, 1, 63, -5):
        assert amount(fee(value), units, terms) == expected


def test_a_fee_is_not_paid_back_for_negative_usage():
    """Allowing negative values makes no credit of a fee."""
    assert amount(fee("20000"), -5, CREDITS) == 20000


def test_counts_of_a_fee_row_and_of_the_terms_multiply():
    """A row for two, sold three times, is six."""
    assert amount([{"type": "fee", "amount": 100, "count": 2}], 0, Terms(count=Decimal(3))) == 600


V1 = tiers("volume", (10, 5000), (50, 4000), (None, 2000))
FIRST_IN_FULL = tiers("volume", (5, 5000, FULL), (None, 3000))
BOTH_IN_FULL = tiers("volume", (5, 5000, FULL), (10, 3000, FULL), (None, 1000))
FIRST_OR_NOTHING = tiers("volume", (5, 5000, NONE), (None, 3000))
MIDDLE_OR_NOTHING = tiers("volume", (5, 5000), (10, 3000, NONE), (None, 1000))


@pytest.mark.parametrize(
    ("rows", "units", "expected"),
    [
        (V1, 0, 0),
        (V1, 10, 50000),
        (V1, 11, 54000),
        (V1, 50, 210000),
        (V1, 63, 236000),
        (V1, "63.5", 237000),
        (V1, "0.0001", 1),
        (V1, -5, 0),
        (V1, 10**12, 2000000000110000),
        (FIRST_IN_FULL, 0, 25000),
        (FIRST_IN_FULL, "0.5", 25000),
        (FIRST_IN_FULL, 5, 25000),
        (FIRST_IN_FULL, "5.5", 26500),
        (FIRST_IN_FULL, 6, 28000),
        (FIRST_IN_FULL, 9, 37000),
        (FIRST_IN_FULL, 10**12, 3000000000010000),
        (BOTH_IN_FULL, 5, 25000),
        (BOTH_IN_FULL, "5.01", 40000),
        (BOTH_IN_FULL, 7, 40000),
        (BOTH_IN_FULL, 10, 40000),
        (BOTH_IN_FULL, 11, 41000),
        (FIRST_OR_NOTHING, 0, 0),
        (FIRST_OR_NOTHING, 4, 0),
        (FIRST_OR_NOTHING, "4.999", 0),
        (FIRST_OR_NOTHING, 5, 25000),
        (FIRST_OR_NOTHING, 7, 31000),
        (MIDDLE_OR_NOTHING, 7, 25000),
        (MIDDLE_OR_NOTHING, "9.99", 25000),
        (MIDDLE_OR_NOTHING, 10, 40000),
        (MIDDLE_OR_NOTHING, 12, 42000),
        (tiers("volume", (100, 120), (None, "80.5")), 101, 12081),
        (tiers("volume", (1000, "0.25"), (None, "0.125")), 1001, 250),
        (tiers("volume", (1000, "0.25"), (None, "0.125")), 1004, 251),
        (tiers("volume", (None, "0.3")), 5, 2),
        (tiers("volume", (None, "0.3")), 15, 5),
        (tiers("volume", (None, "1.005")), 100, 101),
        (tiers("volume", (None, 300), unit_count="1000000"), 2345678, 704),
        (tiers("volume", (None, 5000, FULL)), 3, 15000),
        (tiers("volume", (None, 5000, FULL)), 0, 0),
        (tiers("volume", (None, 5000, NONE)), 3, 15000),
    ],
)
def test_volume_charges_each_unit_at_its_tier(rows: list[dict[str, Any]], units: Any, expected: int):
    """Section 3.2."""
    assert amount(rows, units) == expected


@pytest.mark.parametrize(
    ("rows", "units", "expected"),
    [
        (V1, -5, -25000),
        (V1, -63, -236000),
        (FIRST_IN_FULL, -3, -15000),
        (FIRST_OR_NOTHING, -3, -15000),
    ],
)
def test_a_credit_is_the_mirror_pro_rata(rows: list[dict[str, Any]], units: Any, expected: int):
    """Modes for incomplete tiers are for charges; the line is a credit of a positive amount, and so are its tiers."""
    line = rated(rows, units, CREDITS)
    assert line.signed_amount == expected
    assert (line.entry_type, line.amount, line.quantity) == ("credit", -expected, -units)
    assert all(isinstance(tier, RatedTier) and tier.quantity > 0 and tier.amount > 0 for tier in line.tiers)


SIX_PER_TWENTY = [
    (0, (0, 0, 0)),
    (1, (30, 600, 0)),
    (10, (300, 600, 0)),
    (19, (570, 600, 0)),
    (20, (600, 600, 600)),
    (21, (630, 1200, 600)),
    (200, (6000, 6000, 6000)),
    ("200.5", (6010, 6400, 6000)),
    (201, (6020, 6400, 6000)),
    (220, (6400, 6400, 6400)),
    (400, (10000, 10000, 10000)),
    (10**12, (20000000002000,) * 3),
]


@pytest.mark.parametrize(("units", "expected"), SIX_PER_TWENTY)
def test_packages_are_counted_as_their_mode_says(units: Any, expected: tuple[int, int, int]):
    """Section 3.3: pro rata, in full, not charged."""
    for mode, of_mode in zip((None, FULL, NONE), expected, strict=True):
        assert amount(tiers("packaged", (200, 600, mode), (None, 400, mode), unit_count="20"), units) == of_mode


@pytest.mark.parametrize("mode", [None, FULL, NONE])
def test_packages_give_back_pro_rata(mode: str | None):
    """30 units are a bucket and a half in every mode."""
    rows = tiers("packaged", (200, 600, mode), (None, 400, mode), unit_count="20")
    assert amount(rows, -30) == 0
    assert amount(rows, -30, CREDITS) == -900


@pytest.mark.parametrize(
    ("rows", "units", "expected"),
    [
        (tiers("packaged", (50, 600, FULL), (None, 400, FULL), unit_count="20"), 50, 1800),
        (tiers("packaged", (50, 600, FULL), (None, 400, FULL), unit_count="20"), 60, 2200),
        (tiers("packaged", (50, 600, NONE), (None, 400, NONE), unit_count="20"), 60, 1200),
        (tiers("packaged", (None, 100), unit_count="3"), 10, 333),
        (tiers("packaged", (None, 100), unit_count="3"), 11, 367),
        (tiers("packaged", (None, 1250), unit_count="8"), 3, 469),
        (tiers("packaged", (None, 1250), unit_count="8"), 2, 313),
        (tiers("packaged", (None, 100, FULL), unit_count="0.1"), "0.3", 300),
        (tiers("packaged", (None, 100, FULL), unit_count="0.3"), "0.9000000001", 400),
        (tiers("packaged", (None, 100, FULL), unit_count="3"), 7, 300),
        (tiers("packaged", (None, 100, NONE), unit_count="3"), 7, 200),
    ],
)
def test_buckets_start_afresh_with_each_tier(rows: list[dict[str, Any]], units: Any, expected: int):
    """Section 3.3, widths that are no multiple of the bucket."""
    assert amount(rows, units) == expected


BULK = tiers("bulk", (10, 5000), (None, 3000))
BULK_IN_FULL = tiers("bulk", (10, 5000, FULL), (50, 4000, FULL), (None, 2000))
BULK_OR_NOTHING = tiers("bulk", (10, 5000, NONE), (None, 3000))


@pytest.mark.parametrize(
    ("rows", "units", "expected"),
    [
        (BULK, 0, 0),
        (BULK, 1, 5000),
        (BULK, 10, 50000),
        (BULK, "10.0001", 30000),
        (BULK, "10.5", 31500),
        (BULK, 11, 33000),
        (BULK, 34, 102000),
        (BULK, 10**12, 3 * 10**15),
        (BULK_IN_FULL, 0, 50000),
        (BULK_IN_FULL, 3, 50000),
        (BULK_IN_FULL, 12, 200000),
        (BULK_IN_FULL, 50, 200000),
        (BULK_IN_FULL, 51, 102000),
        (BULK_OR_NOTHING, 9, 0),
        (BULK_OR_NOTHING, 10, 50000),
        (BULK_OR_NOTHING, 11, 33000),
        (tiers("bulk", (100, 25), (None, "12.5")), 100, 2500),
        (tiers("bulk", (100, 25), (None, "12.5")), 101, 1263),
        (tiers("bulk", (1000, "0.5"), (None, "0.333")), 1001, 333),
        (tiers("bulk", (1000, "0.5"), (None, "0.333")), 1501, 500),
        (tiers("bulk", (None, 250), unit_count="1000"), 1500, 375),
    ],
)
def test_bulk_charges_all_units_at_one_rate(rows: list[dict[str, Any]], units: Any, expected: int):
    """Section 3.4, with and without a `from`, which such rows need not carry."""
    assert amount(rows, units) == expected
    bare = [{name: value for name, value in row.items() if name != "from"} for row in rows]
    assert amount(bare, units) == expected


def test_bulk_gives_back_at_the_rate_of_as_many_units():
    """Four are at the first rate, 34 at the second, in every mode."""
    for rows in (BULK, BULK_OR_NOTHING):
        assert amount(rows, -4, CREDITS) == -20000
        assert amount(rows, -34, CREDITS) == -102000
        assert amount(rows, -34) == 0


HALF = tiers("bps", (None, "0.5"))
HALF_THEN_LESS = tiers("bps", (10**8, "0.5"), (None, "0.3"))


@pytest.mark.parametrize(
    ("rows", "units", "expected"),
    [
        (HALF, 2500000, 12500),
        (HALF, 0, 0),
        (HALF, 99, 0),
        (HALF, 100, 1),
        (HALF, 300, 2),
        (HALF_THEN_LESS, 10**8, 500000),
        (HALF_THEN_LESS, 150000000, 650000),
        (HALF_THEN_LESS, 10**12, 3000200000),
        (tiers("bps", (10**9, 0), (None, "0.2")), 1200000000, 400000),
        (tiers("bps", (None, "1.4")), 1234567, 17284),
        (tiers("bps", (None, "0.25")), 12345678, 30864),
    ],
)
def test_bps_is_a_graduated_percentage_of_the_sum(rows: list[dict[str, Any]], units: Any, expected: int):
    """Section 3.5 without fields for each event."""
    assert amount(rows, units) == expected


def test_bps_gives_back_its_percentage():
    """12.5 rounds away from zero on either side."""
    assert amount(HALF, -2500, CREDITS) == -13
    assert amount(HALF, -2500) == 0


def bps_row(percentage: str, lower: int = 0, upper: int | None = None, **limits: Any) -> dict[str, Any]:
    return {"type": "bps", "from": lower, "to": upper, "percentage": Decimal(percentage), **limits}


LIMITED = [bps_row("1", per_unit_floor=20, per_unit_cap=500, per_unit_fee=10)]
TWO_FEES = [bps_row("1", 0, 10000, per_unit_fee=5), bps_row("0.5", 10000, None, per_unit_fee=2)]


def rated_events(rows: list[dict[str, Any]], values: list[Any], terms: Terms | None = None) -> Rated:
    prices = read_prices(rows)
    assert isinstance(prices, EventPrices)
    line = rate_events(prices, [Decimal(value) for value in values], terms or Terms())
    assert sum(tier.amount for tier in line.tiers) == line.amount
    return line


@pytest.mark.parametrize(
    ("rows", "values", "expected"),
    [
        (LIMITED, [], 0),
        (LIMITED, [1000, 5000, 100000], 600),
        (LIMITED, [0], 30),
        (TWO_FEES, [8000, 4000, 1000], 127),
        (TWO_FEES, [10000, 1000], 105 + 7),
        ([bps_row("1", per_unit_floor=20)], [1], 20),
        ([bps_row("1", per_unit_cap=20)], [10**6], 20),
        ([bps_row("1", per_unit_floor=50, per_unit_cap=20)], [1], 20),
        ([bps_row("1", per_unit_fee=Decimal("0.5"))], [100, 100, 100], 5),
    ],
)
def test_bps_limits_hold_for_each_event(rows: list[dict[str, Any]], values: list[Any], expected: int):
    """Floor first, the cap wins over it, the fee on top, by the tier in which the event begins."""
    assert rated_events(rows, values).signed_amount == expected


def test_an_event_counts_in_the_tier_in_which_it_begins():
    """The second of the two events begins below 10000, so its fee is the first tier's."""
    line = rated_events(TWO_FEES, [8000, 4000, 1000])
    assert [(tier.quantity, tier.amount) for tier in line.tiers if isinstance(tier, RatedTier)] == [
        (12000, 120),
        (1000, 7),
    ]


def test_a_refund_gives_back_its_percentage_without_floor_and_fee():
    """At most the cap, and the line stays at 0 or more unless credits are allowed."""
    assert rated_events([bps_row("1", per_unit_fee=10)], [5000, -5000]).signed_amount == 10
    assert rated_events([bps_row("1", per_unit_cap=20)], [5000, -5000]).signed_amount == 0
    assert rated_events([bps_row("1", per_unit_fee=10)], [-5000], CREDITS).signed_amount == -50
    assert rated_events([bps_row("1", per_unit_fee=10)], [-5000]).signed_amount == 0
    assert rated_events([bps_row("1", per_unit_cap=20)], [-5000], CREDITS).signed_amount == -20
    capped = rated_events([bps_row("1", per_unit_cap=20)], [10000, -2500, -2500, -2500, -2500])
    assert (capped.signed_amount, capped.entry_type) == (0, "debit")


def test_a_commitment_beyond_the_events_costs_its_percentage():
    """No event stands for the missing units, so there is no floor and no fee for them."""
    committed = Terms(min_committed_count=Decimal(10000))
    assert rated_events(LIMITED, [1000], committed).signed_amount == 30 + 90
    assert rated_events(LIMITED, [], committed).signed_amount == 100
    assert rated_events(LIMITED, [20000], committed).signed_amount == 210
    assert rated_events([bps_row("1", per_unit_fee=0)], [-5000], committed).signed_amount == 100


BUNDLE = [{"type": "bundle", "amount": 4000, "unit_count": 5}]


@pytest.mark.parametrize(
    ("units", "expected"),
    [(0, 0), (1, 4000), (5, 4000), ("5.5", 8000), (6, 8000), (12, 12000), (10**12, 800000000000000)],
)
def test_a_bundle_begun_is_a_bundle_sold(units: Any, expected: int):
    """Section 3.6."""
    assert amount(BUNDLE, units) == expected


def test_credits_come_in_whole_packs():
    """Any other quantity is refused with the multiple to send."""
    assert whole_packs(Decimal(300), Decimal(100)) == 3
    assert whole_packs(Decimal(0), Decimal(100)) == 0
    for quantity in ("250", "0.5", "-100"):
        with pytest.raises(InvalidPriceError, match="multiple of 100"):
            whole_packs(Decimal(quantity), Decimal(100))


def test_credits_used_are_usage_by_weight():
    """15 + 4 + 20."""
    weighted = [(5, 3), (1, 4), (10, 2)]
    assert credits_used((Decimal(weight), Decimal(usage)) for weight, usage in weighted) == 39


@pytest.mark.parametrize(
    ("terms", "units", "expected"),
    [
        (Terms(min_committed_count=Decimal(20)), 0, 90000),
        (Terms(min_committed_count=Decimal(20)), 5, 90000),
        (Terms(min_committed_count=Decimal(20)), -5, 90000),
        (Terms(min_committed_count=Decimal(20)), 20, 90000),
        (Terms(min_committed_count=Decimal(20)), 21, 94000),
        (Terms(min_amount=10000), 0, 10000),
        (Terms(min_amount=10000), 1, 10000),
        (Terms(min_amount=10000), 2, 10000),
        (Terms(min_amount=10000), 3, 15000),
        (Terms(min_amount=10000), -5, 10000),
        (Terms(max_amount=200000), 45, 190000),
        (Terms(max_amount=200000), 48, 200000),
        (Terms(max_amount=200000), 63, 200000),
        (Terms(min_committed_count=Decimal(20), max_amount=80000), 5, 80000),
        (Terms(min_amount=500, max_amount=500), 63, 500),
        (Terms(min_committed_count=Decimal(20), allow_negative_values=True), -5, -25000),
        (Terms(min_amount=10000, allow_negative_values=True), -5, 10000),
        (Terms(max_amount=0), 63, 0),
    ],
)
def test_commitment_then_minimum_then_maximum(terms: Terms, units: int, expected: int):
    """Section 4; a commitment replaces fewer units but no credit."""
    assert amount(V1, units, terms) == expected


def test_a_line_shows_the_units_it_bills_and_its_clamp_last():
    """A commitment is billed as units; a minimum and a maximum leave the units alone."""
    assert rated(V1, 5, Terms(min_committed_count=Decimal(20))).quantity == 20
    capped = rated(V1, 63, Terms(max_amount=200000))
    assert capped.quantity == 63
    assert [tier.amount for tier in capped.tiers] == [50000, 160000, 26000, -36000]


def groups(*pairs: tuple[list[dict[str, Any]], Any]) -> list[tuple[UnitPrices, Decimal]]:
    read = []
    for rows, units in pairs:
        prices = read_prices(rows)
        assert isinstance(prices, UnitPrices)
        read.append((prices, Decimal(units)))
    return read


def cards(visa: int, mastercard: int, others: int) -> list[tuple[UnitPrices, Decimal]]:
    return groups(
        (tiers("volume", (None, 100)), visa),
        (tiers("bulk", (10, 50), (None, 30)), mastercard),
        (tiers("volume", (None, 10)), others),
    )


@pytest.mark.parametrize(
    ("units", "expected"),
    [((3, 12, 7), 730), ((0, 10, 0), 500), ((1, 1, 1), 160), ((0, 0, 7), 70), ((0, 0, 0), 0)],
)
def test_a_matrix_is_the_sum_of_its_groups(units: tuple[int, int, int], expected: int):
    """Section 5."""
    assert rate_groups(cards(*units)).signed_amount == expected


def test_a_matrix_is_clamped_and_rounded_once():
    """Two groups of 0.4 are 0.8, which is 1; two thirds over different denominators are exact too."""
    assert rate_groups(cards(3, 12, 7), Terms(max_amount=700)).signed_amount == 700
    assert rate_groups(groups(*[(tiers("volume", (None, "0.4")), 1)] * 2)).signed_amount == 1
    thirds, sevenths = tiers("packaged", (None, 1), unit_count="3"), tiers("packaged", (None, 1), unit_count="7")
    assert rate_groups(groups((thirds, 1), (sevenths, 1))).signed_amount == 0
    assert rate_groups(groups((thirds, 1), (sevenths, 2))).signed_amount == 1


def test_a_group_without_units_owes_no_first_tier():
    """Not in volume, not in bulk, and not when negative units count as none."""
    free = groups((FIRST_IN_FULL, 0), (BULK_IN_FULL, 0), (FIRST_IN_FULL, -3))
    assert rate_groups(free).signed_amount == 0
    assert rate_groups(groups((FIRST_IN_FULL, 1), (BULK_IN_FULL, 0))).signed_amount == 25000


def test_groups_below_zero_lessen_the_line_where_that_is_allowed():
    """Each group is clamped, or credited, on its own."""
    mixed = groups((tiers("volume", (None, 100)), 3), (tiers("volume", (None, 10)), -50))
    assert rate_groups(mixed).signed_amount == 300
    assert rate_groups(mixed, CREDITS).signed_amount == -200


def test_groups_refuse_a_commitment():
    """It is well-formed and has no meaning."""
    with pytest.raises(RefusedPriceError, match="min_committed_count"):
        rate_groups(cards(1, 1, 1), Terms(min_committed_count=Decimal(20)))


def test_the_reading_of_zero_units_is_one_constant(monkeypatch: pytest.MonkeyPatch):
    """Turned round, a line without usage owes nothing, and one with usage what it owed before."""
    monkeypatch.setattr(pipeline, "ZERO_UNITS_BEGIN_THE_FIRST_TIER", False)
    assert amount(FIRST_IN_FULL, 0) == 0
    assert amount(BULK_IN_FULL, 0) == 0
    assert amount(FIRST_IN_FULL, 1) == 25000


def test_an_amount_beyond_64_bits_is_refused_and_not_wrapped():
    """The last amount that fits passes."""
    largest = tiers("volume", (None, 1))
    assert amount(largest, 2**63 - 1) == 2**63 - 1
    for units in (2**63, -(2**63)):
        with pytest.raises(AmountTooLargeError):
            amount(largest, units, CREDITS)
    huge = groups((largest, 10**19), (largest, -(10**19)))
    with pytest.raises(AmountTooLargeError):
        rate_groups(huge, CREDITS)


def test_large_quantities_keep_their_last_decimal():
    """20 digits and 18 decimals, times as many, are exact."""
    units = Decimal("12345678901234567890.123456789012345678")
    assert amount(tiers("volume", (None, "0.000000000000000001")), units) == 12
    assert amount(tiers("volume", (None, "0.1"), unit_count="3"), "0.000000000000000001") == 0
    assert amount(tiers("volume", (None, "0.5")), "1.000000000000000000") == 1
    assert amount(tiers("volume", (None, "0.5")), "0.999999999999999999") == 0
    assert amount(tiers("volume", (None, 3), unit_count="6"), "0.999999999999999999") == 0


def test_a_seventh_model_needs_one_registration(monkeypatch: pytest.MonkeyPatch):
    """Rows of a new type reach its reader, and the pipeline rates what it gives."""
    monkeypatch.setattr(registry, "MODELS", {**MODELS, "doubled": MODELS["volume"]})
    assert amount(tiers("doubled", (None, 7)), 3) == 21
