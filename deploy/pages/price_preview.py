"""The preview of a price on a page: its curve, and what chosen quantities come to, tier by tier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.money import minor_digits
from deploy.pages.curve_chart import CurveChart, lay_out_curve, place_text
from deploy.pages.price_curve import Tier, draw_curve
from deploy.pages.quantities import money, quantity

TIERS_SHOWN_MAX = 12


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A quantity, its amount, and the parts of it."""

    quantity: str
    amount: str
    tiers: Sequence[tuple[str, str, str]]
    tiers_left_out: int


@dataclass(frozen=True, slots=True)
class PricePreview:
    """What is drawn and listed. `text` says the same as the drawing, in words."""

    chart: CurveChart
    rows: Sequence[SampleRow]
    text: str
    per_event: bool
    currency: str


def preview_prices(rows: Sequence[Mapping[str, Any]], currency: str, up_to: Any = None) -> PricePreview:
    """Preview the rows of a price.

    Raises:
        ApiError: as `draw_curve`.
    """
    curve = draw_curve(rows, currency, up_to)
    exponent = minor_digits(currency)
    listed = [
        SampleRow(
            place_text(sample),
            money(sample.amount, currency, exponent),
            [_tier(tier, currency, exponent) for tier in sample.tiers[:TIERS_SHOWN_MAX]],
            max(0, len(sample.tiers) - TIERS_SHOWN_MAX),
        )
        for sample in curve.marked
    ]
    first, last = curve.marked[0], curve.marked[-1]
    what = "the value of one event, in minor units" if curve.per_event else "quantity"
    text = (
        f"Amount in {currency} over {what}: from {money(first.amount, currency, exponent)} at {place_text(first)} "
        f"to {money(last.amount, currency, exponent)} at {place_text(last)}"
    )
    return PricePreview(lay_out_curve(curve, currency, exponent), listed, text, curve.per_event, currency)


def _tier(tier: Tier, currency: str, exponent: int) -> tuple[str, str, str]:
    amount = money(tier.amount, currency, exponent)
    if tier.adjustment is not None:
        return tier.adjustment.replace("_", " "), "", amount
    if tier.upper is None:
        span = f"over {quantity(tier.lower)}" if tier.lower else "all"
    else:
        span = (
            f"over {quantity(tier.lower)}, up to {quantity(tier.upper)}"
            if tier.lower
            else f"up to {quantity(tier.upper)}"
        )
    return span, quantity(tier.quantity), amount
