"""Amounts agree, to the minor unit, with a second reading of the specification in plain fractions.

The oracle below is written from the specification's formulas and shares no code with what it judges. It is slow and
literal on purpose.
"""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.errors import InvalidPriceError, RefusedPriceError
from billing.money import MONEY, allocate, round_half_away
from billing.pricing import (
    EventPrices,
    Rated,
    RatedTier,
    Terms,
    UnitPrices,
    bill_difference,
    line_total,
    rate,
    rate_events,
    rate_groups,
    read_prices,
    share_of,
)
from billing.pricing.preview import preview

MODES = (None, "pro_rata", "pay_in_full", "do_not_charge")
Row = dict[str, Any]

claims = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# The oracle: sections 2 to 5 and 11 of the specification.


def rounded(value: Fraction) -> int:
    whole = floor(abs(value))
    if abs(value) - whole >= Fraction(1, 2):
        whole += 1
    return whole if value >= 0 else -whole


def fractions_of(rows: list[Row]) -> list[tuple[Fraction, Fraction | None, Fraction, Fraction, str]]:
    """Give (from, to, amount, unit_count, mode) of each row."""
    found, lower = [], Fraction(0)
    for row in rows:
        upper = None if row.get("to") is None else Fraction(row["to"])
        mode = row.get("on_tier_incomplete") or row.get("on_bucket_incomplete") or "pro_rata"
        amount = Fraction(row.get("amount", row.get("percentage", 0)))
        found.append((lower, upper, amount, Fraction(row.get("unit_count") or 1), mode))
        lower = upper or Fraction(0)
    return found


def oracle_volume(rows: list[Row], u: Fraction, *, grouped: bool, pro_rata: bool) -> Fraction:
    total = Fraction(0)
    for index, (lower, upper, amount, unit_count, mode) in enumerate(fractions_of(rows)):
        part = max(Fraction(0), (u if upper is None else min(u, upper)) - lower)
        begun = part > 0 or (index == 0 and u == 0 and not grouped)
        if pro_rata or mode == "pro_rata" or upper is None or u >= upper:
            total += part * amount / unit_count
        elif mode == "pay_in_full" and begun:
            total += (upper - lower) * amount / unit_count
    return total


def oracle_packaged(rows: list[Row], u: Fraction, *, grouped: bool, pro_rata: bool) -> Fraction:
    del grouped
    total = Fraction(0)
    for lower, upper, amount, unit_count, mode in fractions_of(rows):
        part = max(Fraction(0), (u if upper is None else min(u, upper)) - lower)
        buckets = part / unit_count
        if not pro_rata and mode == "pay_in_full":
            buckets = Fraction(ceil(buckets))
        if not pro_rata and mode == "do_not_charge":
            buckets = Fraction(floor(buckets))
        total += amount * buckets
    return total


def oracle_bulk(rows: list[Row], u: Fraction, *, grouped: bool, pro_rata: bool) -> Fraction:
    for _, upper, amount, unit_count, mode in fractions_of(rows):
        if upper is None or u <= upper:
            if pro_rata or mode == "pro_rata" or upper is None or u == upper:
                return u * amount / unit_count
            if mode == "pay_in_full" and not (grouped and u == 0):
                return upper * amount / unit_count
            return Fraction(0)
    raise AssertionError


def oracle_bps(rows: list[Row], u: Fraction, *, grouped: bool, pro_rata: bool) -> Fraction:
    del grouped, pro_rata
    total = Fraction(0)
    for lower, upper, percentage, _, _ in fractions_of(rows):
        total += max(Fraction(0), (u if upper is None else min(u, upper)) - lower) * percentage / 100
    return total


def oracle_bundle(rows: list[Row], u: Fraction, *, grouped: bool, pro_rata: bool) -> Fraction:
    del grouped
    amount, packs = Fraction(rows[0]["amount"]), u / Fraction(rows[0]["unit_count"])
    return amount * (packs if pro_rata else ceil(packs))


def oracle_fee(rows: list[Row], u: Fraction, *, grouped: bool, pro_rata: bool) -> Fraction:
    del u, grouped, pro_rata
    return Fraction(rows[0]["amount"]) * Fraction(rows[0]["count"])


ORACLES = {
    "volume": oracle_volume,
    "packaged": oracle_packaged,
    "bulk": oracle_bulk,
    "bps": oracle_bps,
    "bundle": oracle_bundle,
    "fee": oracle_fee,
}


def oracle_exact(rows: list[Row], units: Fraction, terms: Terms, *, grouped: bool) -> Fraction:
    model = rows[0]["type"]
    sign = 1
    if units < 0:
        sign = -1 if terms.allow_negative_values else 1
        units = -units if terms.allow_negative_values else Fraction(0)
    if model == "fee":
        return oracle_fee(rows, units, grouped=grouped, pro_rata=False)
    if sign < 0:
        return -ORACLES[model](rows, units, grouped=grouped, pro_rata=True)
    if terms.min_committed_count is not None:
        units = max(units, Fraction(terms.min_committed_count))
    return ORACLES[model](rows, units, grouped=grouped, pro_rata=False)


def oracle_clamped(exact: Fraction, terms: Terms) -> int:
    amount = rounded(exact)
    if terms.min_amount is not None:
        amount = max(amount, terms.min_amount)
    if terms.max_amount is not None:
        amount = min(amount, terms.max_amount)
    return amount


def oracle_events(rows: list[Row], values: list[Decimal]) -> Fraction:
    tiers, total, before = fractions_of(rows), Fraction(0), Fraction(0)
    for value in map(Fraction, values):
        slices = Fraction(0)
        for lower, upper, percentage, _, _ in tiers:
            begin, end = max(before, lower), before + value if upper is None else min(before + value, upper)
            slices += max(Fraction(0), end - begin) * percentage / 100
        ((row, _),) = [
            (row, tier)
            for row, tier in zip(rows, tiers, strict=True)
            if tier[0] <= before and (tier[1] is None or before < tier[1])
        ]
        charge = slices
        if row.get("per_unit_floor") is not None:
            charge = max(Fraction(row["per_unit_floor"]), charge)
        if row.get("per_unit_cap") is not None:
            charge = min(Fraction(row["per_unit_cap"]), charge)
        total += charge + Fraction(row.get("per_unit_fee") or 0)
        before += value
    return total


# What may be asked.


def decimals(least: int, most: int, places: int = 6) -> st.SearchStrategy[Decimal]:
    return st.builds(
        lambda whole, digits, places: Decimal(whole) + Decimal(digits).scaleb(-places),
        st.integers(least, most - 1),
        st.integers(0, 10**places - 1),
        st.just(places),
    )


amounts = st.one_of(st.integers(0, 10_000).map(Decimal), decimals(0, 1000))
unit_counts = st.one_of(st.sampled_from([1, 3, 7, 12, 20, 1000]).map(Decimal), decimals(1, 50, 2))
limits = st.one_of(st.none(), amounts)


@st.composite
def bounds(draw: st.DrawFn) -> list[Decimal]:
    widths = draw(st.lists(st.one_of(st.integers(1, 100).map(Decimal), decimals(1, 60, 3)), max_size=4))
    found = [Decimal(0)]
    for width in widths:
        found.append(found[-1] + width)
    return found


@st.composite
def tiered(draw: st.DrawFn, model: str, modes: tuple[str | None, ...] = MODES) -> list[Row]:
    lowers = draw(bounds())
    rows: list[Row] = []
    for lower, upper in [*pairwise(lowers), (lowers[-1], None)]:
        row: Row = {"type": model, "from": lower, "to": upper}
        if model == "bps":
            row["percentage"] = draw(decimals(0, 5, 3))
        else:
            row |= {"amount": draw(amounts), "unit_count": draw(unit_counts)}
            row[draw(st.sampled_from(["on_tier_incomplete", "on_bucket_incomplete"]))] = draw(st.sampled_from(modes))
        rows.append(row)
    return rows


@st.composite
def bps_with_limits(draw: st.DrawFn) -> list[Row]:
    rows = draw(tiered("bps"))
    for row in rows:
        row |= {"per_unit_floor": draw(limits), "per_unit_cap": draw(limits), "per_unit_fee": draw(limits)}
    rows[0]["per_unit_fee"] = draw(amounts)
    return rows


bundles = st.builds(lambda amount, per: [{"type": "bundle", "amount": amount, "unit_count": per}], amounts, unit_counts)
fees = st.builds(lambda amount, count: [{"type": "fee", "amount": amount, "count": count}], amounts, amounts)
price_rows = st.one_of(tiered("volume"), tiered("packaged"), tiered("bulk"), tiered("bps"), bundles, fees)


@st.composite
def units_near(draw: st.DrawFn, rows: list[Row]) -> Decimal:
    """Give units of either sign, often at a bound or right beside one."""
    edges = [row["to"] for row in rows if row.get("to") is not None] + [Decimal(0)]
    return draw(
        st.one_of(
            decimals(-300, 500),
            st.integers(-300, 10**12).map(Decimal),
            st.builds(
                Decimal.__add__,
                st.sampled_from(edges),
                st.sampled_from(["0", "0.000000000000000001", "-0.000000000000000001", "1"]).map(Decimal),
            ),
        )
    )


@st.composite
def terms_of(draw: st.DrawFn, *, committed: bool = True) -> Terms:
    clamps = sorted(draw(st.lists(st.integers(0, 200_000), min_size=2, max_size=2)))
    return Terms(
        min_committed_count=draw(st.one_of(st.none(), decimals(0, 200))) if committed else None,
        min_amount=draw(st.sampled_from([None, clamps[0]])),
        max_amount=draw(st.sampled_from([None, clamps[1]])),
        allow_negative_values=draw(st.booleans()),
    )


def unit_prices(rows: list[Row]) -> UnitPrices:
    prices = read_prices(rows)
    assert isinstance(prices, UnitPrices)
    return prices


def event_prices(rows: list[Row]) -> EventPrices:
    prices = read_prices(rows)
    assert isinstance(prices, EventPrices)
    return prices


def check_line(line: Rated) -> None:
    assert line.amount >= 0
    assert line.amount == sum(tier.amount for tier in line.tiers)


# The claims.


@pytest.mark.slow
@claims
@given(st.data())
def test_a_line_is_what_the_oracle_says(data: st.DataObject):
    """For all models, modes, terms and signs."""
    rows, terms = data.draw(price_rows), data.draw(terms_of())
    units = data.draw(units_near(rows))
    line = rate(unit_prices(rows), units, terms)
    assert line.signed_amount == oracle_clamped(oracle_exact(rows, Fraction(units), terms, grouped=False), terms)
    check_line(line)


@pytest.mark.slow
@claims
@given(st.data())
def test_a_matrix_is_what_the_oracle_says(data: st.DataObject):
    """Groups are rated apart, summed exactly and rounded once."""
    price_lists = data.draw(st.lists(price_rows, min_size=1, max_size=4))
    terms = data.draw(terms_of(committed=False))
    groups = [(rows, data.draw(units_near(rows))) for rows in price_lists]
    exact = sum((oracle_exact(rows, Fraction(units), terms, grouped=True) for rows, units in groups), Fraction(0))
    line = rate_groups([(unit_prices(rows), units) for rows, units in groups], terms)
    assert line.signed_amount == oracle_clamped(exact, terms)
    check_line(line)


@pytest.mark.slow
@claims
@given(bps_with_limits(), st.lists(decimals(0, 300, 2), max_size=12), terms_of(committed=False))
def test_events_are_charged_as_the_oracle_says(rows: list[Row], values: list[Decimal], terms: Terms):
    """Floor, cap and fee by the tier in which each event begins."""
    line = rate_events(event_prices(rows), values, terms)
    assert line.signed_amount == oracle_clamped(oracle_events(rows, values), terms)
    check_line(line)


@pytest.mark.slow
@claims
@given(tiered("bps"), st.lists(decimals(-300, 300, 2), max_size=12), terms_of())
def test_events_without_effective_limits_cost_what_their_sum_costs(
    rows: list[Row], values: list[Decimal], terms: Terms
):
    """A fee of 0 makes the price one for each event, and the percentages telescope, refunds and commitment too."""
    by_event = [{**row, "per_unit_fee": 0} for row in rows]
    assert rate_events(event_prices(by_event), values, terms).signed_amount == (
        rate(unit_prices(rows), sum(values, start=Decimal(0)), terms).signed_amount
    )


@pytest.mark.slow
@claims
@given(bps_with_limits(), st.lists(decimals(-300, 300, 2), max_size=12), terms_of())
def test_events_of_either_sign_make_a_line_that_adds_up(rows: list[Row], values: list[Decimal], terms: Terms):
    """And a credit only where credits are allowed."""
    line = rate_events(event_prices(rows), values, terms)
    check_line(line)
    assert terms.allow_negative_values or line.entry_type == "debit"


@claims
@given(amounts, st.integers(0, 366), st.integers(1, 366), st.integers(0, 50))
def test_a_share_of_a_fee_is_what_the_oracle_says(amount: Decimal, left: int, total: int, count: int):
    """Days left over days in all, exactly."""
    left = min(left, total)
    terms = Terms(count=Decimal(count), share=share_of(left, total))
    line = rate(unit_prices([{"type": "fee", "amount": amount}]), Decimal(0), terms)
    assert line.signed_amount == rounded(Fraction(amount) * count * left / total)


@claims
@given(st.integers(-(10**6), 10**6), decimals(0, 2000, 2), decimals(0, 40, 2))
def test_a_total_is_what_the_oracle_says(amount: int, discount: Decimal, tax_rate: Decimal):
    """Discount, then tax."""
    taken = min(rounded(Fraction(discount)), max(amount, 0))
    tax = rounded((amount - taken) * Fraction(tax_rate) / 100)
    assert line_total(amount, discount=discount, tax_rate=tax_rate).total == amount - taken + tax


@pytest.mark.slow
@claims
@given(st.data())
def test_more_units_never_cost_less_except_in_bulk(data: st.DataObject):
    """Whatever the modes."""
    rows = data.draw(st.one_of(tiered("volume"), tiered("packaged"), tiered("bps"), bundles))
    fewer, more = sorted([data.draw(units_near(rows)), data.draw(units_near(rows))])
    prices = unit_prices(rows)
    assert rate(prices, fewer).signed_amount <= rate(prices, more).signed_amount


@pytest.mark.slow
@claims
@given(st.data())
def test_pro_rata_volume_has_no_jumps(data: st.DataObject):
    """A step of 10^-12 units at rates up to 10^4 moves the amount by less than one minor unit, even over a bound."""
    rows = data.draw(tiered("volume", (None,)))
    units, step = data.draw(units_near(rows)), Decimal("0.000000000001")
    prices = unit_prices(rows)
    assert rate(prices, units + step).amount - rate(prices, units).amount in {0, 1}


@pytest.mark.slow
@claims
@given(st.data())
def test_the_tiers_of_graduated_prices_hold_all_units(data: st.DataObject):
    """No unit is lost between two tiers, and none is counted twice."""
    rows = data.draw(st.one_of(tiered("volume"), tiered("packaged"), tiered("bulk"), tiered("bps")))
    units = data.draw(units_near(rows))
    line = rate(unit_prices(rows), units, Terms(allow_negative_values=True))
    shown = sum((Fraction(tier.quantity) for tier in line.tiers if isinstance(tier, RatedTier)), Fraction(0))
    assert shown == line.quantity
    assert abs(shown) == abs(units)


@pytest.mark.slow
@claims
@given(st.data())
def test_a_credit_mirrors_the_charge_pro_rata(data: st.DataObject):
    """What units cost pro rata is what as many give back."""
    rows = data.draw(st.one_of(tiered(model, (None,)) for model in ("volume", "packaged", "bulk", "bps")))
    units = abs(data.draw(units_near(rows)))
    prices = unit_prices(rows)
    charge, credit = (rate(prices, signed, Terms(allow_negative_values=True)) for signed in (units, -units))
    assert charge.signed_amount == -credit.signed_amount
    assert [tier.amount for tier in charge.tiers] == [tier.amount for tier in credit.tiers]


@pytest.mark.slow
@claims
@given(tiered("volume"), st.lists(decimals(0, 500), min_size=1, max_size=8))
def test_differences_add_up_to_the_highest_amount(rows: list[Row], cumulative: list[Decimal]):
    """However usage rose and fell within the window."""
    prices, previous = unit_prices(rows), 0
    for units in cumulative:
        line = bill_difference(rate(prices, units), previous)
        check_line(line)
        previous += line.amount
    assert previous == max(rate(prices, units).amount for units in cumulative)


@claims
@given(st.lists(decimals(-1000, 1000, 3), max_size=12), st.integers(1, 50))
def test_a_split_adds_up_and_stays_next_to_each_share(shares: list[Decimal], denominator: int):
    """Each part is its share rounded down or up, larger remainders first, and the mirror splits as the mirror."""
    exact = [Fraction(share) / denominator for share in shares]
    total = rounded(sum(exact, Fraction(0)))
    parts = allocate(total, shares, denominator)
    assert sum(parts) == total
    assert all(abs(part - share) <= 1 for part, share in zip(parts, exact, strict=True))
    if total:
        assert allocate(-total, [-share for share in shares], denominator) == [-part for part in parts]


@claims
@given(st.fractions(), st.integers(1, 10**30))
def test_rounding_is_what_the_oracle_says(value: Fraction, denominator: int):
    """Fractions, whole numbers and decimals."""
    assert round_half_away(value) == rounded(value)
    assert round_half_away(value.numerator, denominator) == rounded(Fraction(value.numerator, denominator))
    assert round_half_away(MONEY.scaleb(Decimal(value.numerator), -1), 3) == rounded(Fraction(value.numerator, 30))


# What a client may send instead.

numbers = st.one_of(
    st.integers(),
    st.sampled_from([0, 1, 10**20, -(10**20), 10**400, 2**63]),
    st.decimals(),
    st.sampled_from(["1e-400", "1e400", "-0", "0e900000", "1e-999999999", "1." + "0" * 6000, "9" * 6000]).map(Decimal),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), numbers, st.text(max_size=5), st.sampled_from(["EUR", "volume", "pay_in_full"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=8,
)


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """Give every (container, key) in a JSON value."""
    if isinstance(value, dict):
        return [(value, key) for key in value] + [place for inner in value.values() for place in places_in(inner)]
    if isinstance(value, list):
        found = [(value, index) for index in range(len(value))]
        return found + [place for inner in value for place in places_in(inner)]
    return []


@st.composite
def broken_requests(draw: st.DrawFn) -> Any:
    """Give a good request in which some values are replaced by anything, or taken away."""
    rows = draw(st.one_of(price_rows, bps_with_limits()))
    usage = draw(
        st.sampled_from(
            [
                {"prices": rows, "quantities": [1, Decimal("2.5")]},
                {"prices": rows, "events": [100, 3]},
                {"price_groups": [{"prices": rows, "quantity": 3}, {"prices": rows, "quantity": 0}]},
            ]
        )
    )
    options = {"min_amount": 1, "max_amount": 5, "min_committed_count": 3, "allow_negative_values": True}
    request: dict[str, Any] = {"currency": "EUR", **usage, **draw(st.sampled_from([{}, options]))}
    for _ in range(draw(st.integers(0, 3))):
        container, key = draw(st.sampled_from(places_in(request)))
        if draw(st.booleans()) and isinstance(container, dict):
            container.pop(key, None)
        elif isinstance(container, dict) or key < len(container):
            container[key] = draw(json_values)
        if not request:
            break
    return request


@pytest.mark.slow
@claims
@given(st.one_of(json_values, broken_requests(), broken_requests()))
def test_a_preview_answers_or_refuses_whatever_is_sent(request: Any):
    """With its two errors and no other, each fault placed and told in printable words."""
    answer, error = answered(request)
    if isinstance(error, InvalidPriceError):
        assert error.faults
        assert all(fault.code and fault.message.encode() and len(fault.message) < 400 for fault in error.faults)
    for entry in answer["amounts"]:
        assert type(entry["amount"]) is int
        assert entry["amount"] == sum(tier["amount"] for tier in entry["tiers"])


def answered(request: Any) -> tuple[dict[str, Any], Exception | None]:
    try:
        return preview(request), None
    except (InvalidPriceError, RefusedPriceError) as error:
        return {"amounts": []}, error
