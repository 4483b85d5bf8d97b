"""The curve of a price: what it is rated by, and where it jumps and bends."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pricing.preview import preview
from deploy.pages.curve_chart import lay_out_curve
from deploy.pages.price_curve import draw_curve
from deploy.pages.price_form import beside, kept_rows, typed_rows
from metering.http.problem import ApiError

TIERS = [{"from": 0, "to": 10, "amount": 5_000}, {"from": 10, "to": 50, "amount": 4_000}, {"from": 50, "amount": 2_000}]


def rows_of(model, **fields):
    return [{"type": model, "to": None, **row, **fields} for row in TIERS]


def amount_at(curve, place, side=0):
    return next(sample.amount for sample in curve.samples if (sample.place, sample.side) == (place, side))


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(["volume", "packaged", "bulk"]),
    st.sampled_from(["pro_rata", "pay_in_full", "do_not_charge"]),
    st.integers(1, 7),
)
def test_every_place_is_what_the_preview_answers(model, mode, unit_count):
    name = "on_bucket_incomplete" if model == "packaged" else "on_tier_incomplete"
    rows = rows_of(model, unit_count=unit_count, **{name: mode})
    samples = [sample for sample in draw_curve(rows, "EUR").samples if not sample.side]
    request = {"currency": "EUR", "prices": rows, "quantities": [sample.place for sample in samples]}
    assert [sample.amount for sample in samples] == [one["amount"] for one in preview(request)["amounts"]]


def test_a_jump_stands_upright_at_its_bound():
    """Bulk: 10 units are 500.00, and the next bit of a unit makes all of them cost 40.00 each."""
    curve = draw_curve(rows_of("bulk"), "EUR")
    assert (amount_at(curve, 10), amount_at(curve, 10, 1)) == (50_000, 40_000)
    upright = [piece for piece in lay_out_curve(curve, "EUR", 2).segments if piece.x1 == piece.x2]
    assert len(upright) == 2


def test_each_pack_is_a_step():
    rows = [{"type": "bundle", "amount": 100, "unit_count": 7}]
    curve = draw_curve(rows, "EUR", 30)
    assert [amount_at(curve, edge, side) for edge in (7, 14, 21, 28) for side in (0, 1)] == [
        100, 200, 200, 300, 300, 400, 400, 500,
    ]  # fmt: skip


@pytest.mark.parametrize("up_to", ["far", 0, -1, Decimal(10) ** 20])
def test_an_end_that_is_none_is_told_beside_its_field(up_to):
    with pytest.raises(ApiError) as refused:
        draw_curve(rows_of("volume"), "EUR", up_to)
    assert "up_to" in beside(refused.value.faults, refused.value.message, {"up_to"}, {}).by_name


@pytest.mark.parametrize("end", [Decimal("1e-9"), Decimal("0.3"), Decimal("3.333333333333333333"), Decimal(10) ** 14])
def test_any_end_is_drawn(end):
    assert draw_curve(rows_of("volume"), "EUR", end).samples[-1].place == end


def test_rows_go_into_a_form_and_come_back_the_same():
    rows = rows_of("volume", unit_count=Decimal("2.50"), on_tier_incomplete="pay_in_full")
    kept = kept_rows("prices", rows)
    sent = {f"prices.{at}.{name}": text for at, row in enumerate(kept.rows) for name, text in row.items()}
    assert typed_rows({**sent, "prices.model": "volume"}, "prices").document() == rows
